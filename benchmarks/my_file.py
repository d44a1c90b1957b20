# ruff: noqa: NPY002
import numpy as np
import torch


def mix(images, labels):
    kept = np.random.beta(1.0, 1.0)
    order = torch.randperm(len(images))
    height, width = images.shape[-2:]
    high, wide = int(height * np.sqrt(1 - kept)), int(width * np.sqrt(1 - kept))
    y, x = np.random.randint(height), np.random.randint(width)
    rows = slice(max(y - high // 2, 0), min(y + high // 2, height))
    columns = slice(max(x - wide // 2, 0), min(x + wide // 2, width))
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[order][:, :, rows, columns]
    return mixed, labels, labels[order], kept
