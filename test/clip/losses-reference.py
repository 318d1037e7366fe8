"""Writes losses.json: losses and gradients of a small batch by PyTorch's own functions, in float64.

usage: python3 test/clip/losses-reference.py > test/clip/losses.json
"""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)
pairs, width, teacher_width = 5, 4, 6
group = torch.tensor([0, 1, 2, 1, 4])
temperature = 0.2

leaves = {
    "image": torch.randn(pairs, width),
    "text": torch.randn(pairs, width),
    "logit_scale": torch.tensor(1.5),
    "logit_bias": torch.tensor(-0.7),
}
teachers = {
    "wide": (torch.randn(pairs, teacher_width), torch.randn(pairs, teacher_width)),
    "same": (torch.randn(pairs, width), torch.randn(pairs, width)),
}
target = (group[:, None] == group[None, :]).double()
target = target / target.sum(1, keepdim=True)


def softmax_loss(logits, smoothing):
    ways = [F.cross_entropy(each, target, label_smoothing=smoothing) for each in (logits, logits.T)]
    return sum(ways) / 2


def sigmoid_loss(logits):
    sign = 2 * (group[:, None] == group[None, :]).double() - 1
    return -F.logsigmoid(sign * logits).sum() / pairs


def divergence(logits, teacher_logits):
    ways = [
        F.kl_div(each.log_softmax(1), wanted.softmax(1), reduction="batchmean")
        for each, wanted in ((logits, teacher_logits), (logits.T, teacher_logits.T))
    ]
    return sum(ways) / 2


def case(name, objective, teacher=None):
    inputs = {key: value.clone().requires_grad_() for key, value in leaves.items()}
    image, text = F.normalize(inputs["image"]), F.normalize(inputs["text"])
    logits = inputs["logit_scale"].exp() * image @ text.T + inputs["logit_bias"]
    loss = objective["loss"]
    total = sigmoid_loss(logits) if loss["kind"] == "sigmoid" else softmax_loss(logits, loss.get("labelSmoothing", 0.0))
    distillation = objective.get("distillation", {})
    if teacher:
        teacher_image, teacher_text = (F.normalize(each) for each in teachers[teacher])
    if "similarity" in distillation:
        total = total + distillation["similarity"] * divergence(logits, teacher_image @ teacher_text.T / temperature)
    if "features" in distillation:
        apart = ((image - teacher_image) ** 2).sum(1).mean() + ((text - teacher_text) ** 2).sum(1).mean()
        total = total + distillation["features"] * apart
    total.backward()
    gradients = {key: value.grad.flatten().tolist() for key, value in inputs.items() if value.grad is not None}
    return {"name": name, "objective": objective, "teacher": teacher, "loss": total.item(), "gradients": gradients}


def distilled(loss, teacher, **weights):
    return {"loss": loss, "distillation": {**weights, "temperature": temperature}}, teacher


softmax, sigmoid = {"kind": "softmax"}, {"kind": "sigmoid"}
cases = [
    case("softmax", {"loss": softmax}),
    case("label smoothing", {"loss": {**softmax, "labelSmoothing": 0.15}}),
    case("sigmoid", {"loss": sigmoid}),
    case("a wider teacher's similarities", *distilled(softmax, "wide", similarity=1.5)),
    case("a teacher's features", *distilled(softmax, "same", features=2.0)),
    case("both, beside the sigmoid loss", *distilled(sigmoid, "same", features=0.5, similarity=2.0)),
]
flat = lambda tensors: [tensor.flatten().tolist() for tensor in tensors]
print(
    json.dumps(
        {
            "pairs": pairs,
            "width": width,
            "group": group.tolist(),
            "inputs": {key: value.flatten().tolist() for key, value in leaves.items()},
            "teachers": {key: flat(value) for key, value in teachers.items()},
            "cases": cases,
        }
    )
)
