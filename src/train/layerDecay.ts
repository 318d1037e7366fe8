/**
 * @file Layer-wise learning rates: the lower a layer, the more it knows already and the slower it learns
 * (Clark et al. 2020, ELECTRA; BEiT's fine-tuning).
 */
import { type ClipConfig, placeOf } from "../clip/index.js";

/** Each parameter's share of the learning rate: `decay` to the power of the layers above its own. */
export const layerRates =
  (config: ClipConfig, decay: number) =>
  (name: string): number => {
    const place = placeOf(config, name);
    return place === null ? 1 : decay ** (place.top - place.layer);
  };
