"""What the benchmarks compare with: the published recipes by hand, in plain PyTorch and Pillow.

Nothing of the project is imported here. Networks, losses, order of the players and settings are those of pix2pix (Isola
2017), CycleGAN (Zhu 2017) and CUT (Park 2020) and of the code that was published with them: eager float32, PyTorch's
default Adam. tests/benchmarks/test_plain.py holds them to the project's own losses and gradients.
"""
