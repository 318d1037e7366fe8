/** @file Peak learning rates with which CLIPs were trained from scratch, to hold a recipe's against. All with AdamW. */
export interface PublishedRate {
  readonly batchSize: number;
  readonly learningRate: number;
  readonly source: string;
}

export const publishedRates: readonly PublishedRate[] = [
  { batchSize: 128, learningRate: 1e-3, source: "open_clip's README, RN50" },
  { batchSize: 4096, learningRate: 5e-4, source: "SLIP's CLIP, ViT-B/16 (Mu et al. 2021)" },
  { batchSize: 32768, learningRate: 5e-4, source: "OpenAI's ViT-B/32 (Radford et al. 2021, table 20)" },
  { batchSize: 90000, learningRate: 1e-3, source: "open_clip's ViT-B/32 on LAION-5B (docs/script_examples)" },
];

/** The one whose batch is nearest, by ratio. */
export function nearestPublished(batchSize: number): PublishedRate {
  const distance = (rate: PublishedRate): number => Math.abs(Math.log(rate.batchSize / batchSize));
  return publishedRates.reduce((best, rate) => (distance(rate) < distance(best) ? rate : best));
}
