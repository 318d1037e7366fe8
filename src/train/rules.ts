/**
 * @file What the diagnostician knows, a rule a trouble. A threshold stands where healthy runs stay far from it; where one
 * comes from a paper, the paper is named.
 */
import { nearestPublished } from "./publishedRates.js";
import { type Finding, type Moment, type Rule, type Seen, windowSize } from "./remark.js";

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const accuracy = ({ imageAccuracy, textAccuracy }: Moment): number => (imageAccuracy + textAccuracy) / 2;
/** The share of right answers that guessing gives: rows that say the same are all right. */
const chance = (window: readonly Moment[], batchSize: number): number =>
  (1 + mean(window.map(({ sameCaption }) => sameCaption)) * (batchSize - 1)) / batchSize;
const percent = (share: number): string => `${Number((100 * share).toPrecision(2))}%`;
const short = (value: number): string => String(Number(value.toPrecision(3)));

/** Lets a rule look at full windows behind the warm-up only. */
const settled =
  (finds: (window: readonly Moment[], seen: Seen) => Finding | undefined): Rule["finds"] =>
  (seen) => {
    const { window, run } = seen;
    return window.length === windowSize && window[0]!.step >= run.warmup ? finds(window, seen) : undefined;
  };

export const rules: readonly Rule[] = [
  {
    code: "Diverged",
    severity: "error",
    finds: ({ window }) => {
      const { loss, gradientNorm } = window.at(-1)!;
      if (Number.isFinite(loss + gradientNorm)) return undefined;
      return {
        what: `The loss is ${loss} and the gradient's length ${gradientNorm}.`,
        why: "A step went so far that numbers overflowed; later steps do not repair that.",
        suggestion: "Resume with half the learning rate or a longer warm-up, and keep clipNorm.",
      };
    },
  },
  {
    code: "StuckAtChance",
    severity: "warning",
    finds: settled((window, { run: { batchSize, softmax } }) => {
      const loss = mean(window.map((moment) => moment.loss));
      const right = mean(window.map(accuracy));
      const guessed = chance(window, batchSize);
      const ignorance = Math.log(batchSize);
      if (right > 1.5 * guessed || (softmax && loss < 0.98 * ignorance)) return undefined;
      const known = softmax ? ` (ln ${batchSize} = ${ignorance.toFixed(3)} is that of a model that knows nothing)` : "";
      return {
        what: `Over ${windowSize} steps the mean loss is ${loss.toFixed(3)}${known} and ${percent(right)} of the answers are right; guessing gives ${percent(guessed)}.`,
        why: "Nothing is learned: captions do not belong to their pictures, all say the same, or the steps are far too large or too small.",
        suggestion:
          "Look at some pairs (`diptych report` shows the probe's). If they are right, try a tenth of the learning rate, then ten times it.",
      };
    }),
  },
  {
    code: "ScaleAtClamp",
    severity: "note",
    finds: settled((window, { run: { softmax } }) => {
      if (!softmax || window.some(({ logitScale }) => logitScale < 99.9)) return undefined;
      return {
        what: `The logit scale has been at its limit of 100 for ${windowSize} steps.`,
        why: "The published models end there after billions of pairs (Radford et al. 2021, §2.5); on few pairs it means that the pairs are known by heart.",
        suggestion: "Take more pairs, stronger augmentation or fewer epochs.",
      };
    }),
  },
  {
    code: "ScaleFalling",
    severity: "warning",
    finds: settled((window, { run: { softmax } }) => {
      const [before, now] = [window[0]!.logitScale, window.at(-1)!.logitScale];
      // it begins at 14.3 (a temperature of 0.07); learning models dip to 13 and rise from there
      if (!softmax || now > 7 || now > before) return undefined;
      return {
        what: `The logit scale has fallen to ${short(now)}; it began at 14.3.`,
        why: "A model that is surer than it is right lowers its loss by being less sure: towards 1 all answers are equally likely.",
        suggestion: "Check that captions belong to their pictures; then try a lower learning rate.",
      };
    }),
  },
  {
    code: "DuplicateCaptions",
    severity: "warning",
    finds: ({ window, run: { batchSize } }) => {
      const share = mean(window.map(({ sameCaption }) => sameCaption));
      if (window.length < 10 || share < 0.1) return undefined;
      return {
        what: `In a batch of ${batchSize}, a pair says the same as ${percent(share)} of the others.`,
        why: `Equal captions are no negatives of each other: a pair has about ${Math.round((1 - share) * (batchSize - 1))} negatives where the batch could give ${batchSize - 1}.`,
        suggestion: "Give pictures captions that tell them apart, or several templates; or take each class less often.",
      };
    },
  },
  {
    code: "IdenticalPictures",
    severity: "warning",
    finds: ({ window }) => {
      const share = mean(window.map(({ samePicture }) => samePicture));
      if (window.length < 10 || share < 0.02) return undefined;
      return {
        what: `${percent(share)} of a batch's pictures are the same file as another one of the batch.`,
        why: "Under different captions, one picture is asked to be far from its own texts; under equal ones, the work is done twice.",
        suggestion:
          "Put the captions of one picture into one row (a list of captions), and remove copies from the data.",
      };
    },
  },
  {
    code: "LearningRate",
    severity: "warning",
    finds: ({ run: { learningRate, batchSize, fineTuning } }) => {
      if (fineTuning) return fineTuningRate(learningRate);
      const published = nearestPublished(batchSize);
      const ratio = learningRate / published.learningRate;
      if (ratio <= 4 && ratio >= 1 / 20) return undefined;
      return {
        what: `A peak learning rate of ${learningRate} at batch ${batchSize} is ${short(ratio > 1 ? ratio : 1 / ratio)} times ${ratio > 1 ? "higher" : "lower"} than the nearest published recipe's: ${published.learningRate} at batch ${published.batchSize.toLocaleString("en")} (${published.source}).`,
        why:
          ratio > 1
            ? "Too large steps end in a loss that stays at chance, or in one that is no number."
            : "Too small steps end a run before it has learned what it could.",
        suggestion: `Try ${published.learningRate}.`,
      };
    },
  },
  {
    code: "Collapsed",
    severity: "warning",
    finds: settled((window) => {
      const [images, texts] = [
        window.map(({ imageCosine }) => imageCosine),
        window.map(({ textCosine }) => textCosine),
      ];
      const [image, text] = [mean(images), mean(texts)];
      if (Math.max(image, text) < 0.95) return undefined;
      return {
        what: `The mean cosine between different ${image > text ? "pictures" : "texts"} of a batch is ${Math.max(image, text).toFixed(3)}.`,
        why: "All of them lie on nearly one spot, where nothing can be told from anything else.",
        suggestion: "Lower the learning rate or lengthen the warm-up; if captions hardly differ, give better ones.",
      };
    }),
  },
  {
    code: "Overfitting",
    severity: "warning",
    finds: ({ validations }) => {
      const recalls = validations.map(({ step, textToImage, imageToText }) => ({
        step,
        recall: (textToImage["recall@1"] + imageToText["recall@1"]) / 2,
      }));
      const best = recalls.reduce((a, b) => (b.recall > a.recall ? b : a), { step: 0, recall: 0 });
      const later = recalls.filter(({ step }) => step > best.step);
      if (later.length < 2 || later.some(({ recall }) => recall > 0.95 * best.recall)) return undefined;
      return {
        what: `Recall@1 on the validation pairs was ${percent(best.recall)} at step ${best.step} and is ${percent(later.at(-1)!.recall)} now.`,
        why: "The model goes on learning its training pairs by heart and forgets what holds for others.",
        suggestion: `Take the best model so far (the folder best); for the next run more pairs, stronger augmentation, more weight decay or fewer epochs.`,
      };
    },
  },
  {
    code: "KnownByHeart",
    severity: "note",
    finds: settled((window, { run: { pairs, batchSize } }) => {
      const { epoch } = window.at(-1)!;
      const right = mean(window.map(accuracy));
      if (epoch < 5 || right < 0.98 || right < 1.5 * chance(window, batchSize)) return undefined;
      return {
        what: `In epoch ${epoch + 1} of ${pairs.toLocaleString("en")} pairs, ${percent(right)} of the in-batch answers are right.`,
        why: "There is nothing left to learn from these pairs: further epochs fit their accidents.",
        suggestion: "Measure on pairs that were held out; take more pairs, a larger batch or stronger augmentation.",
      };
    }),
  },
  {
    code: "StarvedWorkers",
    severity: "warning",
    finds: ({ window }) => {
      // the first steps fill the queue
      const share = window[0]!.step < 10 || window.length < windowSize ? 0 : mean(window.map(({ waiting }) => waiting));
      if (share < 0.2) return undefined;
      return {
        what: `${percent(share)} of the time goes into waiting for pictures.`,
        why: "The workers decode more slowly than the model learns: large files, a slow disk, or too few cores.",
        suggestion: "Store the pictures smaller (twice the model's input size is enough), on a local disk, in shards.",
      };
    },
  },
  {
    code: "GradientSpikes",
    severity: "note",
    finds: settled((window, { run: { clipNorm } }) => {
      const norms = window.map(({ gradientNorm }) => gradientNorm);
      // beside its predecessors, not the window: while a run settles, gradients fall a hundredfold
      const spikes = norms.filter((norm, i) => i >= 5 && norm > 10 * Math.max(...norms.slice(i - 5, i)));
      if (spikes.length < 3) return undefined;
      return {
        what: `${spikes.length} of the last ${windowSize} gradients were over ten times longer than the five before them.`,
        why: "Single batches pull the weights about: damaged pictures or captions, or second moments that forget too slowly.",
        suggestion: clipNorm === null ? "Set clipNorm to 1." : "Try beta2 0.95, or a lower learning rate.",
      };
    }),
  },
  {
    code: "AlwaysClipped",
    severity: "note",
    finds: settled((window, { run: { clipNorm } }) => {
      const usual = median(window.map(({ gradientNorm }) => gradientNorm));
      const clipped = window.filter(({ gradientNorm }) => gradientNorm > (clipNorm ?? Number.POSITIVE_INFINITY));
      // AdamW cancels a constant factor: only far from the limit does clipping hide what the gradient says
      if (clipNorm === null || clipped.length < 0.95 * windowSize || usual < 10 * clipNorm) return undefined;
      return {
        what: `${clipped.length} of the last ${windowSize} gradients were clipped to ${clipNorm}; their usual length is ${short(usual)}.`,
        why: "Where every gradient is cut to one length, long and short ones weigh the same: clipping no longer catches the odd one.",
        suggestion: `Set clipNorm to about ${short(2 * usual)}, or null.`,
      };
    }),
  },
];

/** OpenAI went on with 2e-5 for ViT-L/14@336; whole models that were fine-tuned with more forgot (openai/CLIP issue 150). */
function fineTuningRate(learningRate: number): Finding | undefined {
  if (learningRate <= 1e-4) return undefined;
  return {
    what: `A peak learning rate of ${learningRate} is that of a run from scratch.`,
    why: "Fine-tuning all weights with large steps forgets what the model knew; OpenAI went on with 2e-5 for ViT-L/14@336.",
    suggestion: "Try 1e-5; or train LoRA matrices, which take larger steps.",
  };
}
