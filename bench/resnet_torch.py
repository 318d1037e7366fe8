"""PyTorch's side of resnet.mjs: open_clip's models, one measurement a line. usage: resnet_torch.py [--channels-last]"""
import os
import sys

import torch
from measure import best_seconds, report
from open_clip.loss import ClipLoss
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

torch.set_num_threads(os.cpu_count())
layout = torch.channels_last if "--channels-last" in sys.argv else torch.contiguous_format

MODELS = {
    "RN50, 224×224": (
        CLIP(
            1024,
            CLIPVisionCfg(layers=[3, 4, 6, 3], width=64, image_size=224, patch_size=None),
            CLIPTextCfg(context_length=77, vocab_size=49408, width=512, heads=8, layers=12),
            quick_gelu=True,
        ),
        16,
    ),
    "small, 64×64": (
        CLIP(
            256,
            CLIPVisionCfg(layers=[2, 2, 2, 2], width=24, image_size=64, patch_size=None),
            CLIPTextCfg(context_length=24, vocab_size=4096, width=192, heads=3, layers=4),
            quick_gelu=True,
        ),
        128,
    ),
}

for what, (model, batch) in MODELS.items():
    model.train()
    model.visual.to(memory_format=layout)
    size = model.visual.image_size
    pixels = torch.randn(batch, 3, size, size).contiguous(memory_format=layout)
    ids = torch.randint(0, model.vocab_size, (batch, model.context_length))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
    loss_of = ClipLoss()

    def step():
        optimizer.zero_grad()
        loss_of(*model(pixels, ids)[:3]).backward()
        optimizer.step()

    report(what, batch / best_seconds(step, 5))
