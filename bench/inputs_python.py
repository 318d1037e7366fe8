"""Python's side of inputs.mjs: Pillow and open_clip's tokenizer, one measurement a line. usage: inputs_python.py CAPTIONS"""
import sys

import numpy as np
from measure import best_seconds, report
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image

picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8))
PICTURES = 20
seconds = best_seconds(lambda: [picture.resize((224, 224), Image.BICUBIC) for _ in range(PICTURES)], 5)
report("pictures resized", PICTURES / seconds)

with open(sys.argv[1], encoding="utf-8") as file:
    captions = file.read().split("\n")
tokenizer = SimpleTokenizer()
report("captions to ids", len(captions) / best_seconds(lambda: tokenizer(captions, 77), 2))
