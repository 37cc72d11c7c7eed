"""Trains a small network on global batches of 24; prints a digest and the values of rank 0, and says whether ranks are equal.

training.py FOLDER STEPS [sharded] [norm] [uneven] [dropout] [checkpoint]
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import tapegrad as tg
from tapegrad import distributed as dist
from tapegrad import nn

folder, steps, words = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
dist.init(timeout=20)
rank, size = dist.get_rank(), dist.get_world_size()

tg.manual_seed(rank)  # the replicas begin differently: that of rank 0 counts
norm = [nn.BatchNorm1d(16)] if "norm" in words else []
# A bias before a normalisation has a gradient of rounding errors only, which Adam would blow up.
net = nn.Sequential(
    nn.Linear(6, 16, bias=not norm), *norm, nn.Tanh(), nn.Dropout(0.5 if "dropout" in words else 0.0), nn.Linear(16, 3)
)
net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
model = dist.DistributedDataParallel(net, bucket_cap_mb=0.0005)
if "sharded" in words:
    optimizer = dist.ShardedOptimizer(model.parameters(), tg.optim.Adam, lr=0.02)
else:
    optimizer = tg.optim.Adam(model.parameters(), lr=0.02)
dist.manual_seed(1)
if "dropout" in words:
    mask = nn.functional.dropout(tg.ones(64), 0.5)
    masks = {tuple(m.tolist()) for m in dist.all_gather(mask)}
    print(f"masks {len(masks)}")

parts = {"model": model, "optimizer": optimizer}
found = dist.load_checkpoint(folder / "checkpoint", parts) if "checkpoint" in words else None
first = 0 if found is None else found["next"]
x = np.random.default_rng(0).normal(size=(24 * 8, 6)).astype(np.float32)
y = np.sin(x[:, :3])
for step in range(first, steps):
    batch = slice(step % 8 * 24, step % 8 * 24 + (17 if "uneven" in words else 24))
    mine = x[batch][rank::size], y[batch][rank::size]
    loss = nn.functional.mse_loss(model(tg.asarray(mine[0])), tg.asarray(mine[1]))
    optimizer.zero_grad()
    loss.backward()
    dist.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if "checkpoint" in words:
        dist.save_checkpoint(folder / "checkpoint", parts, next=step + 1)

values = np.concatenate([v.detach().numpy().ravel() for v in net.state_dict().values()])
digests = dist.all_gather_object(hashlib.sha256(values.tobytes()).hexdigest())
if rank == 0:
    print(f"equal {len(set(digests)) == 1}")
    print(f"digest {digests[0]}")
    np.save(folder / f"values-{size}.npy", values)
