import torch

from translate.networks import PatchHeads


def test_each_position_goes_through_its_taps_head():
    torch.manual_seed(0)
    heads = PatchHeads([3, 5], width=4)
    features = [torch.rand(2, 3, 4, 6), torch.rand(2, 5, 2, 3)]
    positions = [torch.randint(0, 24, (2, 7)), torch.randint(0, 6, (2, 5))]
    results = heads(features, positions)
    assert [tuple(r.shape) for r in results] == [(2, 7, 4), (2, 5, 4)]
    for tap, (feature, places) in enumerate(zip(features, positions, strict=True)):
        first, second = heads.heads[tap][0], heads.heads[tap][2]
        for image in range(2):
            for i, place in enumerate(places[image].tolist()):
                y, x = divmod(place, feature.shape[3])
                hidden = (first.weight @ feature[image, :, y, x] + first.bias).clamp(min=0)
                vector = second.weight @ hidden + second.bias
                torch.testing.assert_close(results[tap][image, i], vector / vector.square().sum().sqrt())


def test_every_parameter_exists_before_the_first_pass():
    heads = PatchHeads([3, 128, 256, 256, 256])
    expected = sum((c + 1) * 256 + (256 + 1) * 256 for c in (3, 128, 256, 256, 256))
    assert sum(p.numel() for p in heads.parameters()) == expected


def test_results_are_float32_of_length_one_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (result,) = PatchHeads([3])([torch.rand(1, 3, 4, 4)], [torch.arange(16)[None]])
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.norm(dim=2), torch.ones(1, 16))
