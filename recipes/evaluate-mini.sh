#!/usr/bin/env bash
# Every figure of the card of the model in the box. usage: recipes/evaluate-mini.sh [MODEL] [EVALUATION DATA]
set -euo pipefail
model=${1:-models/diptych-mini}
data=${2:-../shared/data/eval}
diptych() { node "$(dirname "$0")/../dist/cli/main.js" "$@" --model "$model"; }
title() { printf '\n── %s\n' "$1"; }

photo=(--template "a photo of a {}." --template "a blurry photo of a {}." --template "{}")
title "Tiny-ImageNet val, 200 classes (chance 0.5%)"
diptych evaluate zero-shot "$data/tiny-imagenet-val.tar" --classes-file "$data/tiny-imagenet.classes.json" "${photo[@]}"
title "CIFAR-10 test, 10 classes (chance 10%)"
diptych evaluate zero-shot "$data/cifar10-test.tar" "${photo[@]}"
title "CIFAR-10 test, a linear classifier fitted to 2,000 pictures (chance 10%)"
diptych evaluate linear-probe --train "$data/cifar10-train-2000.tar" --test "$data/cifar10-test.tar"
title "MNIST test, 10 classes (chance 10%)"
diptych evaluate zero-shot "$data/mnist/t10k-images-idx3-ubyte.gz" \
  --classes "zero,one,two,three,four,five,six,seven,eight,nine" --template "{}" --template "keycap: {}"
title "OpenMoji, an artist not in training: one label each"
diptych evaluate retrieval "$data/emoji-openmoji.tar" --captions-per-picture 1
title "Fashion: titles not in training"
diptych evaluate retrieval "$data/fashion-1000.tar"
title "Flickr8k photographs: kind of picture and of caption not in training"
diptych evaluate retrieval "$data/flickr8k-1000.tar"
