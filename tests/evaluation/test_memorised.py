import numpy as np
import pytest
import torch

from translate.evaluation.memorised import memorised, memorised_sheet


def test_copies_of_training_pictures_are_found_and_shown_closest_first():
    drawn = torch.Generator().manual_seed(0)
    training, real = torch.randn(50, 8, generator=drawn), torch.randn(40, 8, generator=drawn)
    made = torch.cat([torch.randn(20, 8, generator=drawn), training[[7, 3]]])
    made[20] += 1e-3
    found = memorised(made, real, training)
    assert found.closest_first[:2] == [21, 20]
    assert found.places[20:].tolist() == [7, 3]
    assert found.close == pytest.approx(2 / 22)
    assert found.describe().startswith("memorised? 9% of the outputs are nearer to a training picture than all but 5% ")
    assert memorised(real, real, training).close == pytest.approx(2 / 40)

    cells, trained = ({i: np.full((6, 8, 3), (i, 200, side), np.uint8) for i in range(50)} for side in (10, 20))
    page = np.asarray(memorised_sheet(cells, trained, found, most=2))
    shown = [(page == colour).all(2) for colour in ((21, 200, 10), (3, 200, 20), (20, 200, 10), (7, 200, 20))]
    rows, columns = ([where.any(axis).argmax() for where in shown] for axis in (1, 0))
    assert 0 < columns[0] == columns[2] < columns[1] == columns[3]
    assert 0 < rows[0] == rows[1] < rows[2] == rows[3]
