"""Flags of the reference code of pix2pix, CycleGAN and CUT, and of similar programs -> ours. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection

from translate.outside import visible
from translate.tables import closest

MAX_SHOWN = 100  # characters of a name that an error shows

CONVERT_WORDS = "`translate convert MODEL IN OUT`"
LATEST = "--step N of a run folder; without it the best weights are used, and --resume goes on from the newest"
RATE = "--epochs, all of them, with --decay-start, the share of them before the rate falls (0.5)"
GENERATOR = "--generator unet or resnet, with --depth (U-Net) or --blocks (ResNet)"
DISCRIMINATOR = "--discriminator, with --patch 70 for basic or n_layers 3, --patch 1 for pixel"
LOADED = "--load-size, the side before the crop"
CROPPED = "--size, the side of the crop"
FITTED = "--fit: stretch for resize_and_crop, cover for scale_width_and_crop, none for crop"
DEVICE = "--device: cuda:1 for the second GPU, cpu for -1; several GPUs are started by torchrun"
FOLDER = "--out RUN, the folder of the run"
GAME = "--objective: vanilla, lsgan, or wasserstein for wgangp"
SMOOTHED = "--label-smoothing 0.1, what the target of real pictures falls short of 1"
ONE_SIDED = (
    "not there: a target b > 0 for fakes would add b p_model to the best discriminator's numerator, and so draw it "
    "towards fakes; only the target of real pictures is smoothed, by --label-smoothing"
)
CYCLE = "--lambda-cycle, one for both directions"
CHANNELS = "found in the pictures, or --source-channels and --target-channels"
FLIPPED = "--flip false"
PAGES = "always written, to samples/ in the run folder: --validate-every sets how often"
NOWHERE = "not needed: nothing is sent anywhere and no server runs"

FOREIGN_FLAGS: dict[str, str] = {
    # where things are
    "dataroot": "--data FOLDER in training, and IN in `translate convert MODEL IN OUT`",
    "dataset": "--data FOLDER",
    "dataset_name": "--data FOLDER",
    "data_dir": "--data FOLDER",
    "data_root": "--data FOLDER",
    "dataset_mode": "--layout, which is found by itself",
    "phase": "--layout, which finds the splits train, val and test by itself",
    "name": FOLDER,
    "checkpoints_dir": FOLDER,
    "checkpoint_dir": FOLDER,
    "experiment_name": FOLDER,
    "results_dir": f"OUT in {CONVERT_WORDS}",
    "output_dir": f"--out RUN in training, and OUT in {CONVERT_WORDS}",
    "output": f"--out RUN in training, and OUT in {CONVERT_WORDS}",
    "input_dir": f"--data FOLDER in training, and IN in {CONVERT_WORDS}",
    "input": f"--data FOLDER in training, and IN in {CONVERT_WORDS}",
    "model": "the first word: `translate train MODEL`, `translate convert MODEL IN OUT`",
    "cut_mode": "the first word: `translate train cut` or `translate train fastcut`",
    "mode": "the first word: `translate train` or `translate convert`",
    "suffix": FOLDER,
    "config_file": "--config FILE",
    # how long
    "n_epochs": RATE,
    "n_epochs_decay": RATE,
    "niter": RATE,
    "niter_decay": RATE,
    "decay_epoch": RATE,
    "num_epochs": "--epochs",
    "max_epochs": "--epochs",
    "max_steps": "--steps",
    "iterations": "--steps",
    "batch_size": "--batch",
    "batchsize": "--batch",
    "learning_rate": "--lr",
    "lr_policy": "--schedule: linear, cosine or constant",
    "lr_decay_iters": "--schedule: linear, cosine or constant",
    "b1": "--beta1",
    "b2": "--beta2",
    # going on, and which weights
    "continue_train": "`translate train --resume RUN`",
    "epoch_count": "`translate train --resume RUN`, which counts on by itself",
    "resume_from": "`translate train --resume RUN`",
    "resume_from_checkpoint": "`translate train --resume RUN`",
    "checkpoint": "`translate train --resume RUN`, and MODEL in `translate convert MODEL IN OUT`",
    "pretrained_name": "--init-from RUN",
    "epoch": LATEST,
    "which_epoch": LATEST,
    "load_iter": LATEST,
    # networks
    "netg": GENERATOR,
    "which_model_netg": GENERATOR,
    "netd": DISCRIMINATOR,
    "which_model_netd": DISCRIMINATOR,
    "n_layers_d": DISCRIMINATOR,
    "ngf": "--width",
    "ndf": "--discriminator-width",
    "nef": "--encoder-width",
    "nz": "--z",
    "netf": "fixed: an MLP, of --nce-width channels",
    "netf_nc": "--nce-width",
    "n_residual_blocks": "--blocks",
    "n_blocks": "--blocks",
    "num_downs": "--depth",
    "normg": "--norm",
    "normd": "--discriminator-norm; without it, as --norm",
    "no_dropout": "--dropout 0",
    "use_dropout": "--dropout 0.5",
    "no_antialias": "--downsample strided",
    "no_antialias_up": "--upsample transposed",
    "init_type": "--init: normal or xavier",
    "init_gain": "fixed with --init: 0.02",
    "input_nc": CHANNELS,
    "output_nc": CHANNELS,
    "channels": CHANNELS,
    "num_classes": "--source-kind labels, which finds the classes in the pictures",
    "label_nc": "--source-kind labels, which finds the classes in the pictures",
    # losses
    "gan_mode": GAME,
    "gan_loss": GAME,
    "no_lsgan": "--objective vanilla",
    "target_real_label": SMOOTHED,
    "real_label": SMOOTHED,
    "real_label_smoothing": SMOOTHED,
    "one_sided_label_smoothing": SMOOTHED,
    "smooth_labels": SMOOTHED,
    "target_fake_label": ONE_SIDED,
    "fake_label": ONE_SIDED,
    "fake_label_smoothing": ONE_SIDED,
    "label_smoothing_fake": ONE_SIDED,
    "two_sided_label_smoothing": ONE_SIDED,
    "lambda_gan": "--lambda-gan",
    "gan_weight": "--lambda-gan",
    "lambda_l1": "--lambda-l1",
    "l1_weight": "--lambda-l1",
    "lambda_a": CYCLE,
    "lambda_b": CYCLE,
    "lambda_cyc": CYCLE,
    "lambda_id": "--lambda-identity",
    "lambda_idt": "--lambda-identity",
    "lambda_z": "--lambda-latent",
    "lambda_nce": "--lambda-nce",
    "nce_idt": "--nce-identity",
    "nce_t": "--nce-temperature",
    "num_patches": "--nce-patches",
    "pool_size": "--pool",
    "n_critic": "--d-steps",
    "lambda_rec": "--lambda-cycle",
    "lambda_cls": "--lambda-class",
    # pictures
    "loadsize": LOADED,
    "scale_size": LOADED,
    "crop_size": CROPPED,
    "finesize": CROPPED,
    "image_size": CROPPED,
    "img_size": CROPPED,
    "img_height": CROPPED,
    "img_width": CROPPED,
    "preprocess": FITTED,
    "resize_or_crop": FITTED,
    "which_direction": "--direction",
    "no_flip": FLIPPED,
    "no_augment": f"{FLIPPED}, for one",
    "aspect_ratio": "not needed: every output has the size of its input",
    "serial_batches": "fixed: the order is drawn anew each epoch, from --seed",
    "max_dataset_size": "not there: give a folder with fewer pictures by --data",
    "num_test": f"not there: all of IN is converted by {CONVERT_WORDS}",
    "how_many": f"not there: all of IN is converted by {CONVERT_WORDS}",
    # the machine
    "gpu_ids": DEVICE,
    "gpu_id": DEVICE,
    "gpu": DEVICE,
    "gpus": DEVICE,
    "cuda": DEVICE,
    "num_threads": "--workers, the processes that read pictures",
    "nthreads": "--workers, the processes that read pictures",
    "num_workers": "--workers, the processes that read pictures",
    "n_cpu": "--workers, the processes that read pictures",
    "amp": "--precision bfloat16",
    "fp16": "--precision float16",
    "bf16": "--precision bfloat16",
    "mixed_precision": "--precision bfloat16",
    "eval": "--inference-norm running, in training or in `translate import`",
    # what is written
    "print_freq": "--log-every, in steps",
    "save_latest_freq": "--checkpoint-every, in steps",
    "save_epoch_freq": "--checkpoint-every, in steps",
    "save_freq": "--checkpoint-every, in steps",
    "checkpoint_interval": "--checkpoint-every, in steps",
    "save_by_iter": "--checkpoint-every, in steps",
    "sample_interval": PAGES,
    "display_freq": PAGES,
    "update_html_freq": PAGES,
    "no_html": PAGES,
    "display_id": NOWHERE,
    "display_port": NOWHERE,
    "display_server": NOWHERE,
    "display_env": NOWHERE,
    "display_ncols": "--samples, the pictures on a page",
    "display_winsize": NOWHERE,
    "use_wandb": NOWHERE,
    "wandb_project_name": NOWHERE,
    "verbose": "not needed: a run lists its networks when it starts",
}
"""Foreign name in lower case, with underscores -> what to use. Flags in it are fields of our settings (a test)."""


FLAG = re.compile(r"--[a-z][a-z0-9-]*")


def unknown_flag(name: str, names: Collection[str]) -> str:
    """The error for a flag that is none of `names`: its name here, or the closest one of `names`."""
    choices = [f"--{known.replace('_', '-')}" for known in names]
    shown = visible(f"--{name[:MAX_SHOWN].replace('_', '-')}")
    here = FOREIGN_FLAGS.get(name.lower())
    if here is None or shown in FLAG.findall(here):  # the same name, which this model or command does not have
        return f"unknown flag {shown}{closest(shown, choices)}"
    flags = FLAG.findall(here)
    absent = bool(flags) and "`" not in here and not set(flags) & set(choices)
    return f"unknown flag --{visible(name[:MAX_SHOWN])}: here it is {here}" + (
        ", of `translate train` and models that have it" * absent
    )
