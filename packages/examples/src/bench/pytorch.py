"""PyTorch as a contender: pytorch.py FOLDER JOB (one thread). Prints one line of JSON."""
import json, os, struct, sys, time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
folder, job = sys.argv[1:3]
ADD_CHAIN, RATE, CHECKED = 10_000, 1e-3, (1, 10, 20)


def load():
    data = open(f"{folder}/workload.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": "<f4", "I32": "<i4"}
    out = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        start, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + size + start : 8 + size + end], dtype=kinds[entry["dtype"]])
        out[name] = torch.from_numpy(array.reshape(entry["shape"]).copy())
    return out


def timed(body, windows=5):
    body()
    start = time.perf_counter()
    body()
    calls = max(1, round(0.8 / (time.perf_counter() - start)))
    cpu, begun, each = time.process_time(), time.perf_counter(), []
    for _ in range(windows):
        start = time.perf_counter()
        for _ in range(calls):
            body()
        each.append((time.perf_counter() - start) / calls)
    each.sort()
    return each[windows // 2], time.process_time() - cpu, time.perf_counter() - begun


def show(value, cpu, wall, **more):
    print(json.dumps(dict(contender="PyTorch, 1 thread", job=job, value=value, cpuSeconds=cpu, wallSeconds=wall, **more)))


def add_job(grad):
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    b = torch.tensor([1e-6] * 4, requires_grad=grad)

    def body():
        t = a
        for _ in range(ADD_CHAIN):
            t = t + b
        total = t.sum()
        if grad:
            total.backward()
            b.grad.sum().item()
            b.grad = None
        else:
            total.item()

    seconds, cpu, wall = timed(body)
    show(seconds / ADD_CHAIN * 1e6, cpu, wall)


def train_job(batch):
    work = load()
    images, labels = work["images"], work["labels"].long()
    params = []
    for i in range(3):
        params += [work[f"w{i}"].t().contiguous().requires_grad_(), work[f"b{i}"].requires_grad_()]
    optimizer = torch.optim.Adam(params, lr=RATE)
    batches, state = len(labels) // batch, dict(next=0)

    def step():
        at = state["next"] % batches * batch
        state["next"] += 1
        optimizer.zero_grad(set_to_none=True)
        h = F.relu(F.linear(images[at : at + batch], params[0], params[1]))
        h = F.relu(F.linear(h, params[2], params[3]))
        loss = F.cross_entropy(F.linear(h, params[4], params[5]), labels[at : at + batch])
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for i in range(1, 21):
        loss = step().item()
        if i in CHECKED:
            losses.append(loss)
    steps = 20

    def body():
        for _ in range(steps):
            loss = step()
        loss.item()

    seconds, cpu, wall = timed(body)
    show(steps * batch / seconds, cpu, wall, losses=losses)


jobs = {
    "add": lambda: add_job(False),
    "add + backward": lambda: add_job(True),
    "mlp 128": lambda: train_job(128),
    "mlp 256": lambda: train_job(256),
}
if job in jobs:
    jobs[job]()
