"""Writes fixtures/optim.json and fixtures/modules.json: what PyTorch computes and prints, for optim.test.ts and nn.test.ts.

Run with a Python that has torch 1.13: python3 scripts/nn/dump.py (from packages/core). Values are made by formulas that the
tests repeat, so that only results are stored.
"""
import json
import math
from pathlib import Path

import torch
from torch import nn, optim

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SHAPES = [(3, 4), (5,)]
STEPS = 12


def start(shape, number, dtype):
    count = math.prod(shape)
    return torch.tensor([math.cos(0.9 * i + number) for i in range(count)], dtype=dtype).reshape(shape)


def gradient(shape, number, step, dtype):
    count = math.prod(shape)
    return torch.tensor([math.sin(0.7 * i + 1.3 * step + number) * (1 + 0.1 * step) for i in range(count)], dtype=dtype).reshape(shape)


CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": [0.8, 0.95], "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.2, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.005, "alpha": 0.9, "momentum": 0.7, "centered": True, "weight_decay": 0.01}),
]


def run(name, options, dtype):
    params = [nn.Parameter(start(shape, number, dtype)) for number, shape in enumerate(SHAPES)]
    optimizer = getattr(optim, name)(params, **options)
    for step in range(STEPS):
        for number, parameter in enumerate(params):
            parameter.grad = gradient(parameter.shape, number, step, dtype)
        optimizer.step()
    return [parameter.detach().flatten().tolist() for parameter in params]


SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.3}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {"start_factor": 0.25, "total_iters": 6}),
    ("CosineAnnealingLR", {"T_max": 8, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 12}),
]


def schedule(name, options):
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2, momentum=0.9)
    scheduler = getattr(optim.lr_scheduler, name)(optimizer, **options)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


MODULES = {
    "mlp": nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10, bias=False)),
    "convolutional": nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, (3, 5), stride=2, groups=2, bias=False), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(0.25),
        nn.Sequential(nn.Linear(16, 4), nn.Softmax(dim=1)), nn.Identity(),
    ),
    "list": nn.ModuleList([nn.Embedding(5, 3, padding_idx=0), nn.LayerNorm(3), nn.GroupNorm(2, 4)]),
    "dict": nn.ModuleDict({"act": nn.LeakyReLU(0.2), "gelu": nn.GELU(), "loss": nn.CrossEntropyLoss()}),
    "transposed": nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1),
    "others": nn.Sequential(
        nn.ELU(), nn.Softplus(), nn.Hardtanh(), nn.PReLU(), nn.AvgPool2d(2), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(4, momentum=None),
        nn.Softshrink(), nn.GLU(), nn.LocalResponseNorm(2), nn.MaxPool1d(3, stride=2, ceil_mode=True), nn.InstanceNorm1d(3),
    ),
}


def norm_case():
    """Two training batches and an evaluation through BatchNorm1d: outputs, gradients, running moments."""
    layer = nn.BatchNorm1d(3, momentum=0.2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    outputs = []
    for step in range(2):
        x = gradient((4, 3), 0, step, torch.float64).requires_grad_()
        y = layer(x)
        (y * start((4, 3), 1, torch.float64)).sum().backward()
        outputs.append({"y": y.flatten().tolist(), "grad": x.grad.flatten().tolist()})
    layer.eval()
    y = layer(gradient((4, 3), 0, 2, torch.float64))
    return {
        "steps": outputs, "eval": y.flatten().tolist(), "running_mean": layer.running_mean.tolist(),
        "running_var": layer.running_var.tolist(), "weight_grad": layer.weight.grad.tolist(), "bias_grad": layer.bias.grad.tolist(),
    }


def main():
    cases = [
        {"optimizer": name, "options": options, "dtype": str(dtype).removeprefix("torch."), "params": run(name, options, dtype)}
        for name, options in CASES
        for dtype in (torch.float32, torch.float64)
    ]
    schedules = [{"scheduler": name, "options": options, "rates": schedule(name, options)} for name, options in SCHEDULES]
    (FIXTURES / "optim.json").write_text(json.dumps({"steps": STEPS, "shapes": SHAPES, "cases": cases, "schedules": schedules}) + "\n")
    printed = {name: repr(module) for name, module in MODULES.items()}
    (FIXTURES / "modules.json").write_text(json.dumps({"printed": printed, "batch_norm": norm_case()}) + "\n")


main()
