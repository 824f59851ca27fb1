"""PyTorch as a contender: pytorch.py FOLDER JOB (a job of jobs.ts as JSON). Prints one line of JSON."""
import json, os, struct, sys, time

folder, job = sys.argv[1], json.loads(sys.argv[2])
# Threads that sleep while they wait: OpenMP's and OpenBLAS' would else fight for the cores.
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(job["threads"])
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(job["threads"])
ADD_CHAIN, RATE, CHECKED = 10_000, 1e-3, (1, 10, 20)
WIDTH, HEADS, SEQUENCE, VOCABULARY, MASKED = 128, 4, 64, 64, -1e9


def load(name):
    data = open(f"{folder}/{name}.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": "<f4", "I32": "<i4"}
    out = {}
    for key, entry in json.loads(data[8 : 8 + size]).items():
        start, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + size + start : 8 + size + end], dtype=kinds[entry["dtype"]])
        out[key] = torch.from_numpy(array.reshape(entry["shape"]).copy())
    return out


def timed(body, windows=5):
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.5:
        start = time.perf_counter()
        body()
        last = time.perf_counter() - start
    calls = max(1, round(0.3 / last))
    cpu, begun, each = time.process_time(), time.perf_counter(), []
    for _ in range(windows):
        start = time.perf_counter()
        for _ in range(calls):
            body()
        each.append((time.perf_counter() - start) / calls)
    each.sort()
    return each[windows // 2], time.process_time() - cpu, time.perf_counter() - begun


def show(value, cpu, wall, results):
    print(json.dumps(dict(value=value, cpuSeconds=cpu, wallSeconds=wall, results=results)))


def add_job():
    grad, result = job["backward"], []
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    b = torch.tensor([1e-6] * 4, requires_grad=grad)

    def body():
        t = a
        for _ in range(ADD_CHAIN):
            t = t + b
        total = t.sum()
        if grad:
            total.backward()
            result[:] = [b.grad.sum().item()]
            b.grad = None
        else:
            result[:] = [total.item()]

    seconds, cpu, wall = timed(body)
    show(seconds / ADD_CHAIN * 1e6, cpu, wall, result)


def operands(count):
    i = np.arange(count, dtype=np.int64)
    pairs = ((7919, 1009), (104729, 997), (1299709, 991))
    return [torch.from_numpy((i * factor % modulus / modulus - 0.5).astype(np.float32)) for factor, modulus in pairs]


def elementwise_job():
    a, b, c = operands(job["size"])
    chain = lambda: F.relu(a * b + c) * b
    seconds, cpu, wall = timed(chain)
    show(seconds * 1e6, cpu, wall, [chain().mean().item()])


def matmul_job():
    n = job["size"]
    a, b, _ = (x.view(n, n) for x in operands(n * n))
    seconds, cpu, wall = timed(lambda: a @ b)
    show(2 * n**3 / seconds / 1e9, cpu, wall, [(a @ b).mean().item()])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.zeros(SEQUENCE, WIDTH))
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("mask", torch.full((SEQUENCE, SEQUENCE), MASKED).triu(1), persistent=False)

    def forward(self, x):
        start = self.tokens(x) + self.positions
        normed = self.norm1(start)
        q, k, v = (
            layer(normed).view(len(x), SEQUENCE, HEADS, WIDTH // HEADS).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5 + self.mask
        mixed = (F.softmax(scores, -1) @ v).transpose(1, 2).reshape(len(x), SEQUENCE, WIDTH)
        middle = start + self.output(mixed)
        end = middle + self.down(F.relu(self.up(self.norm2(middle))))
        return self.head(end).view(-1, VOCABULARY)


NETWORKS = {
    "mlp": lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 10),
    ),
    "transformer": Transformer,
}


def trainer():
    model_name, batch = job["model"], job["batch"]
    samples = load("few" if job["kind"] == "first step" else "tokens" if model_name == "transformer" else "digits")
    inputs, targets = samples["inputs"], samples["targets"].long()
    batches = len(inputs) // batch
    if model_name == "cnn":
        inputs = inputs.view(-1, 1, 28, 28)
    if model_name == "transformer":
        inputs = inputs.long()
    model = NETWORKS[model_name]()
    model.load_state_dict(load(model_name))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    state = dict(next=0)

    def step():
        at = state["next"] % batches * batch
        state["next"] += 1
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(inputs[at : at + batch]), targets[at : at + batch].flatten())
        loss.backward()
        optimizer.step()
        return loss

    return step


def train_job():
    step, results, steps = trainer(), [], 10
    for i in range(1, 21):
        loss = step().item()
        if i in CHECKED:
            results.append(loss)

    def body():
        for _ in range(steps):
            loss = step()
        loss.item()

    seconds, cpu, wall = timed(body)
    show(steps * job["batch"] / seconds, cpu, wall, results)


def first_step_job():
    loss = trainer()().item()
    milliseconds = time.time() * 1000 - float(os.environ["TROUPE_BENCH_BEGUN"])
    show(milliseconds, time.process_time(), milliseconds / 1000, [loss])


{
    "add": add_job, "elementwise": elementwise_job, "matmul": matmul_job,
    "train": train_job, "scaling": train_job, "first step": first_step_job,
}[job["kind"]]()
