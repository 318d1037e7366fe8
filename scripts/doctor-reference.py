"""What open_clip, Pillow and ftfy make of the inputs of `diptych doctor`: called by build-doctor.mjs."""

import base64
import hashlib
import io
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import image_transform
from PIL import Image, features
from safetensors.torch import load_file

folder, target = Path(sys.argv[1]), Path(sys.argv[2])
inputs = json.loads((folder / "inputs.json").read_text())


def open_picture(i, picture):
    raw, size = (folder / f"{i}.raw").read_bytes(), (picture["width"], picture["height"])
    if picture["mode"] == "1":
        return Image.frombytes("L", size, raw).convert("1", dither=Image.Dither.NONE)
    return Image.frombytes(picture["mode"], size, raw)


def crop(i, picture):
    config = picture["config"]
    transform = image_transform(
        config["size"],
        is_train=False,
        mean=config["mean"],
        std=config["std"],
        resize_mode=config["resize"],
        interpolation=config["interpolation"],
        fill_color=config["fill"],
    )
    result = open_picture(i, picture)
    for step in transform.transforms[:-2]:  # before ToTensor and Normalize
        result = step(result)
    return hashlib.sha256(result.convert("RGB").tobytes()).hexdigest()


def files(width, height, rgb):
    picture = Image.frombytes("RGB", (width, height), bytes(rgb))
    formats = {
        "PNG": {},
        "GIF": {},
        "BMP": {},
        "TIFF": {},
        "WebP": {"lossless": True},
        "JPEG": {"quality": 90},
        # with halved colours, libheif (in sharp) enlarges them otherwise than libavif (in Pillow)
        "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    }
    for name, options in formats.items():
        if name == "AVIF" and not features.check("avif"):
            continue
        stream = io.BytesIO()
        picture.save(stream, format=name, **options)
        decoded = Image.open(io.BytesIO(stream.getvalue())).convert("RGB").tobytes()
        encode = lambda data: base64.b64encode(data).decode()
        # JPEG and AVIF leave the decoder's rounding open
        yield {
            "format": name,
            "tolerance": 2 if name in ("JPEG", "AVIF") else 0,
            "file": encode(stream.getvalue()),
            "rgb": encode(decoded),
        }


def towers(image, text):
    vision = {"image_size": image["imageSize"], "width": image["width"], "layers": image["layers"]}
    if image["kind"] == "vit":
        vision |= {"patch_size": image["patchSize"], "head_width": image["width"] // image["heads"]}
    return vision, {
        "context_length": text["contextLength"],
        "vocab_size": text["vocabularySize"],
        "width": text["width"],
        "heads": text["heads"],
        "layers": text["layers"],
    }


def run_model(i, model):
    config = model["config"]
    vision, text = towers(config["image"], config["text"])
    clip = CLIP(config["embedSize"], vision, text, quick_gelu=config["activation"] == "quick_gelu")
    state = load_file(folder / f"models/{i}.safetensors")
    missing, unexpected = clip.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    clip = clip.double().eval()
    with torch.no_grad():
        pixels = torch.tensor(model["pixels"], dtype=torch.float64).reshape(2, 3, 32, 32)
        ids = torch.tensor(model["ids"]).reshape(2, 16)
        rounded = lambda features: [float(f"{x:.9g}") for x in features.flatten().tolist()]
        return {
            "name": model["name"],
            "image": rounded(clip.encode_image(pixels)),
            "text": rounded(clip.encode_text(ids)),
        }


encode = SimpleTokenizer().encode
packages = ["open_clip_torch", "torch", "torchvision", "pillow", "ftfy"]
result = {
    "references": f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
    "texts": [encode(text) for text in inputs["texts"]],
    "crops": [crop(i, picture) for i, picture in enumerate(inputs["pictures"])],
    "files": list(files(**inputs["file"])),
    "models": [run_model(i, model) for i, model in enumerate(inputs["models"])],
}
target.write_text(json.dumps(result, separators=(",", ":")) + "\n")
