from torchvision.transforms import v2

mix = v2.RandomChoice([v2.CutMix(), v2.MixUp()])
