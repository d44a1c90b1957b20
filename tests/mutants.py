"""A plain CutMix, one sample at a time, and the defects of public implementations, seeded into it one by one."""

from __future__ import annotations

import torch

# defect → (claims beyond `kind`, the name under which the checker must report it)
DEFECTS: dict[str, tuple[dict, str]] = {
    "share not recomputed": ({"boxes": "clipped"}, "share not recomputed after clipping"),
    "complement": ({"boxes": "clipped"}, "pasted share in place of its complement"),
    "width from height": ({"boxes": "unclipped"}, "box width taken from the image's height"),
    "p twice": ({"p": 0.7}, "p applied twice"),
    "p inverted": ({"p": 0.7}, "p inverted"),
    "one box a batch": ({"boxes": "clipped"}, "one draw for the whole batch"),
    "fixed partner": ({"boxes": "clipped"}, "fixed partner"),
    "labels not permuted": ({"boxes": "clipped"}, "labels not permuted with the images"),
    "float area": ({"boxes": "unclipped"}, "area in real numbers against whole pixels"),
    "negative box": ({"boxes": "clipped"}, "box that does nothing, yet labels are mixed"),
    "odd batch dropped": ({"boxes": "clipped"}, "odd batch dropped"),
    "generator ignored": ({"boxes": "clipped"}, "generator ignored"),
    # beyond the twelve
    "odd sample left out": ({"boxes": "clipped"}, "odd batch dropped"),
    "in place": ({"boxes": "clipped"}, "input changed in place"),
    "labels not mixed": ({"boxes": "clipped"}, "labels are not mixed"),
    "hard labels": ({"boxes": "clipped"}, "hard labels only"),
    "unclipped": ({"boxes": "clipped"}, "follows unclipped box, Beta(1, 1) in place of what is claimed"),
    "one size a batch": ({"boxes": "unclipped"}, "draws depend on each other"),
    "pasted elsewhere": ({"boxes": "unclipped"}, "pixels are moved"),
    "top left": ({"boxes": "unclipped"}, "placement is not the claimed one"),
    "next partner": ({"boxes": "clipped"}, "fixed partner (roll by 1)"),
}


class MutantCutMix:
    """CutMix after the original paper ("clipped"), or with the box inside whole; `defect` is one of `DEFECTS`, or ""."""

    def __init__(self, defect: str, *, p: float = 1.0, boxes: str = "clipped") -> None:
        self.defect, self.p = defect, p
        self.boxes = "unclipped" if defect == "unclipped" else boxes
        self.generator = torch.Generator()

    def rand(self, *shape: int) -> torch.Tensor:
        return torch.rand(
            shape, dtype=torch.float64, generator=None if self.defect == "generator ignored" else self.generator
        )

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        defect, count = self.defect, len(images)
        soft = torch.eye(max(count, int(labels.max()) + 1))[labels]
        if defect == "odd batch dropped" and count % 2 == 1 and count > 1:
            images, soft, count = images[:-1], soft[:-1], count - 1
        mixed, mixed_labels = (images if defect == "in place" else images.clone()), soft.clone()
        source = images.clone()
        partner, label_partner = self.partners(count)
        applied = self.applied(count)
        boxes = self.draw_boxes(count, *images.shape[-2:])
        for i in range(count):
            left_out = defect == "odd sample left out" and count % 2 == 1 and i == count - 1 and count > 1
            if applied[i] and not left_out:
                kept = self.paste(mixed[i], source[partner[i]], boxes[0 if defect == "one box a batch" else i])
                other = soft[label_partner[i]]
                mixed_labels[i] = soft[i] if defect == "labels not mixed" else kept * soft[i] + (1 - kept) * other
        return mixed, (mixed_labels.argmax(1) if defect == "hard labels" else mixed_labels)

    def partners(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        if self.defect == "fixed partner":
            order = torch.randperm(count, generator=torch.Generator().manual_seed(5))
            return order, order
        if self.defect == "next partner":
            return torch.arange(count).roll(-1), torch.arange(count).roll(-1)
        order = self.rand(count).argsort()
        return order, (self.rand(count).argsort() if self.defect == "labels not permuted" else order)

    def applied(self, count: int) -> torch.Tensor:
        chosen = self.rand(count) < self.p
        if self.defect == "p twice":
            return chosen & (self.rand(count) < self.p)
        return ~chosen if self.defect == "p inverted" else chosen

    def draw_boxes(self, count: int, height: int, width: int) -> list[tuple[float, float, float, float]]:
        """(top, left, height, width), real numbers, or whole ones as the law has them; not yet clipped."""
        side = self.rand(count).sqrt()
        if self.defect == "one size a batch":
            side = side[:1].expand(count)
        places = self.rand(count, 2).tolist()
        boxes = []
        for root, (down, right) in zip(side.tolist(), places, strict=True):
            high, wide = height * root, (height if self.defect == "width from height" else width) * root
            if self.boxes == "clipped":
                half_high, half_wide = int(high) // 2, int(wide) // 2
                boxes.append(
                    (int(down * height) - half_high, int(right * width) - half_wide, 2 * half_high, 2 * half_wide)
                )
            elif self.defect == "float area":
                boxes.append((down * (height - high), right * (width - wide), high, wide))
            else:
                high, wide = round(high), round(wide)
                down, right = (0, 0) if self.defect == "top left" else (down, right)
                boxes.append((int(down * (height - high + 1)), int(right * (width - wide + 1)), high, wide))
        return boxes

    def paste(self, image: torch.Tensor, other: torch.Tensor, box: tuple[float, float, float, float]) -> float:
        """Paste in place; the weight of the sample's own label."""
        height, width = image.shape[-2:]
        top, left, high, wide = box
        if self.defect == "float area":  # as a comparison of pixel numbers with real borders has it
            rows, columns = torch.arange(height), torch.arange(width)
            inside = ((rows >= top) & (rows < top + high))[:, None] & ((columns >= left) & (columns < left + wide))
            image[:, inside] = other[:, inside]
            return 1 - high * wide / (height * width)
        top, left, bottom, right = int(top), int(left), int(top + high), int(left + wide)
        area = high * wide
        if self.defect == "negative box":  # image[:, -3:5] is empty
            image[:, top:bottom, left:right] = other[:, top:bottom, left:right]
            area = (min(bottom, height) - max(top, 0)) * (min(right, width) - max(left, 0))
            return 1 - area / (height * width)
        top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
        taken = other.flip(-1) if self.defect == "pasted elsewhere" else other
        image[:, top:bottom, left:right] = taken[:, top:bottom, left:right]
        if self.defect != "share not recomputed":
            area = (bottom - top) * (right - left)
        kept = 1 - area / (height * width)
        return 1 - kept if self.defect == "complement" else kept
