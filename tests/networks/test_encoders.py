"""Labels and words become codes: by hand, whatever the company, and in an exported file."""

import math

import pytest
import torch
from torch.nn import functional as F

from translate.networks.blocks import init_weights
from translate.networks.encoders import START, ConditioningAugmentation, LabelEncoder, TextEncoder

PAD = 0


def words(**changes):
    torch.manual_seed(0)
    return TextEncoder(**{"vocabulary": 20, "length": 9, "pad": PAD, "width": 16, "queries": 3} | changes)


def test_labels_by_hand():
    encoder = LabelEncoder(3, 4)
    first, second, third = encoder.classes
    label = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.25, 0.0, 0.75]])
    expected = [second, (first + third) / 2**0.5, encoder.none, 0.25 * first + 0.75 * third]
    for made in (encoder(label), torch.no_grad()(encoder)(label)):
        torch.testing.assert_close(made, torch.stack(expected))


def test_codes_are_of_variance_about_one_after_start_weights_are_drawn():
    labels, text = LabelEncoder(8, 128), words(width=128)
    for encoder in (labels, text):
        init_weights(encoder)
    assert 0.8 < labels(torch.eye(8)).std() < 1.2
    assert 0.8 < text(torch.randint(1, 20, (4, 9))).std() < 1.2


def test_a_text_does_not_depend_on_filling_or_company():
    encoder = words().double()
    tokens = torch.tensor([[3, 4, 5, 6, 0, 0, 0], [7, 8, 9, 1, 2, 3, 4], [0, 0, 0, 0, 0, 0, 0]])
    made = encoder(tokens)
    torch.testing.assert_close(made[:1], encoder(tokens[:1, :4]))
    torch.testing.assert_close(made[1:2], encoder(F.pad(tokens[1:2], (0, 2))))
    assert torch.equal(made[2], encoder.none)
    made.sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@torch.inference_mode()
def test_at_inference_a_text_is_the_same_to_the_last_bit():
    encoder, tokens = words(width=64), torch.randint(0, 20, (5, 9))
    made = encoder(tokens)
    assert all(torch.equal(made[i], encoder(tokens[i : i + 1])[0]) for i in range(5))


def test_an_empty_text_learns_by_itself():
    encoder = words()
    encoder(torch.zeros(2, 9, dtype=torch.long)).sum().backward()
    assert encoder.none.grad.eq(2).all()
    assert all(p.grad is None or not p.grad.any() for name, p in encoder.named_parameters() if name != "none")


def test_words_are_bound_to_their_neighbours_in_texts_never_seen():
    """Which colour is the door's? "a C door and a C' roof", either thing first; a fifth of the pairs is kept back."""
    torch.manual_seed(0)
    colours, door, roof = range(4, 10), 1, 2
    texts = [(c, door, 3, d, roof) for c in colours for d in colours] + [
        (d, roof, 3, c, door) for c in colours for d in colours
    ]
    answers = torch.tensor([(text[0] if text[1] == door else text[3]) - 4 for text in texts])
    tokens = torch.tensor(texts)
    pair = torch.tensor([(text[0] + 2 * text[3]) % 5 == 0 for text in texts])  # of no order in particular
    encoder, answer = words(width=32, queries=4), torch.nn.Linear(32, 6)
    init_weights(encoder)
    optimiser = torch.optim.Adam([*encoder.parameters(), *answer.parameters()], lr=2e-3)
    for _ in range(120):
        optimiser.zero_grad()
        F.cross_entropy(answer(encoder(tokens[~pair])), answers[~pair]).backward()
        optimiser.step()
    right = answer(encoder(tokens[pair])).argmax(1) == answers[pair]
    assert right.float().mean() > 0.9


def test_it_exports_with_any_number_of_texts(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    encoder = words().eval()
    tokens = torch.randint(1, 20, (2, 9))
    with torch.no_grad():
        program = torch.onnx.export(
            encoder,
            (tokens,),
            input_names=["tokens"],
            dynamic_shapes={"tokens": {0: torch.export.Dim.AUTO}},
            dynamo=True,
            verbose=False,
        )
    program.save(tmp_path / "text.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "text.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        tokens = torch.randint(1, 20, (count, 9))
        tokens[0, 1:] = PAD
        tokens[-1] = PAD
        (made,) = session.run(None, {"tokens": tokens.numpy()})
        torch.testing.assert_close(torch.from_numpy(made), encoder(tokens).detach(), rtol=1e-4, atol=1e-5)


def test_conditioning_augmentation_by_hand():
    augment = ConditioningAugmentation(2)
    with torch.no_grad():
        augment.linear.weight.zero_()
        augment.linear.bias.copy_(torch.tensor([1.0, 0.0, -START, 2 * math.log(3) - START]))
    code, noise = torch.tensor([[0.5, 1.0]]), torch.tensor([[2.0, -1.0]])
    torch.testing.assert_close(augment(code, noise).code, torch.tensor([[1.5 + 2, 1 - 3.0]]))
    made = augment(code)
    assert torch.equal(made.code, made.mu)
    torch.testing.assert_close(made.mu, torch.tensor([[1.5, 1.0]]))
