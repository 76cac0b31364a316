"""Leave-one-source-out training, on synthetic features and pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cascade.data.dataset import Item, Pictures
from cascade.networks.architectures import Architecture
from cascade.taxonomy import Taxonomy
from cascade.training.augmentation import NO_AUGMENTATION
from cascade.training.settings import TrainingSettings
from tools.held_out_training import (
    Features,
    HeadsVariant,
    fit_heads,
    hold_out_heads,
    hold_out_network,
    recentred,
    shop_numbers,
)

TREE = Taxonomy.from_labels(["pets/cat", "pets/dog", "toys/ball", "toys/car"])


def drawn(source: str, shift: float, seed: int, count: int = 400) -> Features:
    """Eight features that determine the leaf, shifted by ``shift``."""
    random = np.random.default_rng(seed)
    labels = [TREE.leaves[n] for n in random.integers(0, 4, count)]
    centres = np.eye(4, 8, dtype=np.float32) * 4
    values = np.stack([centres[TREE.leaves.index(label)] for label in labels])
    values = values + random.normal(shift, 1, values.shape).astype(np.float32)
    splits = ["train" if n % 4 else "validation" if n % 8 else "test" for n in range(count)]
    items = [
        Item(f"{n}", label, split, source)
        for n, (label, split) in enumerate(zip(labels, splits, strict=True))
    ]
    return Features(tuple(items), values)


def joined(*parts: Features) -> Features:
    items = tuple(item for part in parts for item in part.items)
    return Features(items, np.concatenate([part.values for part in parts]))


def test_heads_learn_and_are_worse_on_an_unseen_source() -> None:
    known, shifted = drawn("known", 0, 1), drawn("unseen", 2.5, 2)
    both = joined(known, shifted)
    seen = hold_out_heads(both, (), TREE).rates()["primary"]
    assert seen.count == 100  # the test split
    assert (seen.value or 0) > 0.95
    unseen = hold_out_heads(both, ("unseen",), TREE).rates()["primary"]
    assert unseen.count == 400  # every picture of it
    assert (unseen.value or 1) < (seen.value or 0)


def test_sources_held_out_together_have_rates_of_their_own() -> None:
    known, near, far = drawn("known", 0, 1), drawn("near", 0, 2, 120), drawn("far", 0, 3, 80)
    far.values[:, :4] = far.values[:, [2, 3, 0, 1]]  # where pets look like toys
    held_out = hold_out_heads(joined(known, near, far), ("near", "far"), TREE)
    together = held_out.rates()["primary"]
    apart = {name: held_out.rates(name)["primary"] for name in ("near", "far")}
    assert {name: rate.count for name, rate in apart.items()} == {"near": 120, "far": 80}
    assert together.count == 200
    assert (apart["near"].value or 0) > 0.95  # like the known source
    assert (apart["far"].value or 1) < 0.05
    weighted = sum((rate.value or 0) * rate.count for rate in apart.values()) / 200
    assert together.value is not None
    assert abs(together.value - weighted) < 1e-9


def test_partly_known_labels_train_the_primary_decision() -> None:
    features = drawn("known", 0, 3)
    hidden = tuple(Item(i.path, i.label.split("/")[0], i.split, i.source) for i in features.items)
    heads = fit_heads(Features(hidden, features.values), TREE.decisions(), TREE)
    logits = heads.logits(features.values)
    truth = np.array([item.label.startswith("toys") for item in features.items])
    assert ((logits[:, :2].argmax(axis=1) == 1) == truth).mean() > 0.95
    # the labels do not contain the lower levels, so the logits stay near zero
    assert np.abs(logits[:, 2:]).max() < 0.2


PETS = Taxonomy.from_labels(["pets/cat", "pets/dog"])
SMALL = TrainingSettings(
    Architecture("two_convolutions", {"filters": 4}),
    epochs=8,
    batch_size=16,
    learning_rate=3e-3,
    augmentation=NO_AUGMENTATION,
    ema_momentum=None,
)


def dark_cats_and_light_cats() -> Pictures:
    """Cats are dark and dogs light in the source ``known``, the reverse in ``unseen``."""
    random = np.random.default_rng(4)
    items, pixels = [], []
    for number in range(240):
        cat, unseen = number // 8 % 2 == 0, number % 3 == 0
        split = "train" if number % 4 else "validation" if number % 8 else "test"
        label, source = "pets/cat" if cat else "pets/dog", "unseen" if unseen else "known"
        items.append(Item(f"{number}", label, split, source))
        shade = 60 if cat != unseen else 200
        pixels.append(random.integers(shade - 40, shade + 40, (20, 15, 3), dtype=np.uint8))
    return Pictures(tuple(items), np.stack(pixels))


def test_a_network_trained_without_a_source_is_evaluated_on_all_its_pictures(
    tmp_path: Path,
) -> None:
    """In the known source cats are dark and dogs light; in the unseen one the reverse."""
    pictures = dark_cats_and_light_cats()
    known = hold_out_network(pictures, (), PETS, SMALL, tmp_path / "seen")
    seen = known.rates()["leaf, in scope"]
    held_out = hold_out_network(pictures, ("unseen",), PETS, SMALL, tmp_path / "unseen")
    unseen = held_out.rates()
    assert seen.count == 30  # the test split
    assert unseen["leaf, in scope"].value is not None
    assert unseen["leaf, in scope"].count == 80  # every picture of the source
    assert (unseen["leaf, in scope"].value or 0) < 0.1  # it saw only the reverse
    assert (tmp_path / "unseen" / "state.json").is_file()


def test_a_network_trained_without_a_source_can_teach_another(tmp_path: Path) -> None:
    pictures = dark_cats_and_light_cats()
    teacher = hold_out_network(pictures, ("unseen",), PETS, SMALL, tmp_path / "teacher")
    assert teacher.teacher is not None
    soft_labels = teacher.teacher(pictures.pixels)
    assert soft_labels.shape == (240, 3)  # pets; cat or dog
    np.testing.assert_allclose(soft_labels[:, 1:].sum(axis=1), 1, atol=1e-5)
    cats = np.array([item.label == "pets/cat" for item in pictures.items])
    unseen = np.array([item.source == "unseen" for item in pictures.items])
    assert (
        (soft_labels[:, 1] > 0.5) == (cats != unseen)
    ).mean() > 0.95  # it learned that cats are dark

    def reversed_labels(pixels: np.ndarray) -> np.ndarray:
        return soft_labels_of(pixels)[:, [0, 2, 1]]

    soft_labels_of = teacher.teacher
    settings = replace(SMALL, distillation_weight=1.0)
    student = hold_out_network(
        pictures, ("unseen",), PETS, settings, tmp_path / "student", teacher=reversed_labels
    )
    # the student learns the reversed soft labels, not the labels: what the teacher calls a dog gets
    # a higher cat logit than what it calls a cat (calibration only scales the logits)
    cats = [item.label == "pets/cat" for item in student.items]
    for network, right in ((teacher, False), (student, True)):
        catlike = network.logits[:, 1] - network.logits[:, 2]
        more, less = catlike[cats], catlike[np.invert(cats)]
        assert ((more[:, None] > less).mean() > 0.95) == right
        assert ((more[:, None] > less).mean() < 0.05) != right


def two_shops() -> tuple[Features, dict[str, tuple[str, ...]]]:
    """A large shop, and a small one in which the labels are the other way round."""
    large, small = drawn("large", 0, 1, 400), drawn("small", 0, 2, 80)
    small.values[:, :4] = small.values[:, [2, 3, 0, 1]]
    return joined(large, small), {"large": ("large",), "small": ("small",)}


def right_in(features: Features, source: str, variant: HeadsVariant) -> float:
    numbers = shop_numbers(features.items, {"large": ("large",), "small": ("small",)})
    heads = fit_heads(features, TREE.decisions(), TREE, 0.0, shops=numbers, variant=variant)
    rows = np.array([item.source == source for item in features.items])
    logits = heads.logits(features.values[rows])[:, :2]
    truth = np.array([item.label.startswith("toys") for item in features.items])[rows]
    return float((logits.argmax(axis=1) == truth).mean())


def test_shops_alike_and_group_dro_learn_more_of_a_small_shop() -> None:
    features, _ = two_shops()
    plain = right_in(features, "small", HeadsVariant())
    for variant in (HeadsVariant(shop_power=1.0), HeadsVariant(dro=0.03)):
        assert right_in(features, "small", variant) > plain + 0.1


def test_a_recentred_shop_is_like_the_others() -> None:
    known, other, shifted = drawn("known", 0, 1), drawn("other", 0, 2), drawn("shifted", 0, 3)
    shifted.values[:, 0] += 6  # all of it looks like cats
    features = joined(known, other, shifted)
    shops = {name: (name,) for name in ("known", "other", "shifted")}
    numbers = shop_numbers(features.items, shops)
    assert [numbers[0], numbers[400], numbers[800]] == [0, 1, 2]
    moved = recentred(features.values, numbers, 1.0)
    means = [moved[numbers == shop].mean(axis=0) for shop in range(3)]
    np.testing.assert_allclose(means[0], means[2], atol=1e-4)
    plain, recentring = (
        hold_out_heads(features, ("shifted",), TREE, shops=shops, variant=variant).rates()
        for variant in (HeadsVariant(), HeadsVariant(recentre=1.0))
    )
    assert (recentring["primary"].value or 0) > (plain["primary"].value or 1) + 0.05
