#!/usr/bin/env bash
# Fine-tunes the model of recipes/without-fashion.json on fashion pairs, by adapters and as a whole; prints what that
# brings there and costs elsewhere, as a table. The recipes look for that model in runs/without-fashion.
# usage: recipes/fine-tune-fashion.sh [FOLDER FOR THE RUNS] [EVALUATION DATA]
set -euo pipefail
recipes=$(dirname "$0")
runs=${1:-runs}
data=${2:-../shared/data/eval}
base=$runs/without-fashion
diptych() { node "$recipes/../dist/cli/main.js" "$@"; }

for way in lora full; do
  diptych train "$recipes/fashion-$way.json" --out "$runs/fashion-$way" >&2
done

# percent(recalls or an accuracy) of the JSON on standard input
figure='const result = JSON.parse(require("node:fs").readFileSync(0, "utf8")), found = result[process.argv[1]];
  const shares = typeof found === "number" ? [found] : Object.values(found);
  process.stdout.write(` ${shares.map((share) => (100 * share).toFixed(1)).join(" / ")}% |`);'
row() { # TITLE, KEY OF THE RESULT, ARGUMENTS OF evaluate…
  printf '| %s |' "$1"
  for model in "$base" "$runs/fashion-lora" "$runs/fashion-full"; do
    diptych evaluate "${@:3}" --model "$model" --json 2>/dev/null | node -e "$figure" "$2"
  done
  echo
}
# medians over the run's steps
speed='const lines = require("node:fs").readFileSync(process.argv[1], "utf8").trim().split("\n").map(JSON.parse);
  const median = (key) => lines.map((line) => line[key]).sort((a, b) => a - b)[lines.length >> 1];
  console.log(`${process.argv[1]}: ${lines.length} steps, ${median("seconds").toFixed(2)} s each, ${median("pairsPerSecond").toFixed(0)} pairs/s`);'
photo=(--template "a photo of a {}." --template "a blurry photo of a {}." --template "{}")

echo "| | before | LoRA | all weights |"
echo "|---|---|---|---|"
row "Fashion, pictures by title, R@1/5/10" textToImage retrieval "$data/fashion-1000.tar"
row "Fashion, titles by picture, R@1/5/10" imageToText retrieval "$data/fashion-1000.tar"
row "Tiny-ImageNet val, top 1" top1 zero-shot "$data/tiny-imagenet-val.tar" \
  --classes-file "$data/tiny-imagenet.classes.json" "${photo[@]}"
row "CIFAR-10 test, top 1" top1 zero-shot "$data/cifar10-test.tar" "${photo[@]}"
row "MNIST test, top 1" top1 zero-shot "$data/mnist/t10k-images-idx3-ubyte.gz" \
  --classes "zero,one,two,three,four,five,six,seven,eight,nine" --template "{}" --template "keycap: {}"
row "OpenMoji, pictures by label, R@1/5/10" textToImage retrieval "$data/emoji-openmoji.tar" --captions-per-picture 1
row "Flickr8k, pictures by caption, R@1/5/10" textToImage retrieval "$data/flickr8k-1000.tar"
echo
for way in lora full; do node -e "$speed" "$runs/fashion-$way/log.jsonl"; done
