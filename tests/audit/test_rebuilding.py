import math
from dataclasses import replace

import pytest
import torch

from umbel.audit import EFFORTS, Effort, Observed, Rebuilt, Reconstruction, are_pictures, rebuild
from umbel.audit.decoder_networks import NETWORKS, TrainedDecoder, networks_for
from umbel.audit.decoders import Examples, Flattened, LinearDecoder, Seen, Standardised, similarity
from umbel.audit.intervals import bootstrap_interval
from umbel.core import UmbelError

SHORT = Effort(20, 32)


def blobs(count: int, size: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> torch.Tensor:
    """Soft bright spots anywhere on a grey picture."""
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = size
    middle = torch.rand(count, 2, 1, 1, generator=generator) * torch.tensor([height, width])[:, None, None]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    far = (rows - middle[:, 0]) ** 2 + (columns - middle[:, 1]) ** 2
    colours = torch.rand(count, channels, 1, 1, generator=generator)
    return 0.1 + 0.8 * colours * torch.exp(-far / 8)[:, None]


def observed(pictures: torch.Tensor, releases: int = 1, **features: torch.Tensor) -> Observed:
    return Observed(features, {name: () for name in features}, {}, pictures, releases)


def splits(pictures: torch.Tensor, releases: int = 1, **features: torch.Tensor) -> list[Observed]:
    third = len(pictures) // 3
    parts = slice(third), slice(third, 2 * third), slice(2 * third, None)
    cut = [{name: one[part] for name, one in features.items()} for part in parts]
    return [observed(pictures[part], releases, **own) for part, own in zip(parts, cut, strict=True)]


def attacked(pictures: torch.Tensor, releases: int = 1, **features: torch.Tensor) -> dict[str, Reconstruction]:
    rebuilt = rebuild(*splits(pictures, releases, **features), effort=SHORT, seeds=1)
    return {entry.seen: entry for entry in rebuilt.entries}


def test_features_that_are_the_picture_bring_it_back_and_noise_brings_nothing():
    pictures = blobs(360)
    noise = torch.randn(360, 6, generator=torch.Generator().manual_seed(1))
    entries = attacked(pictures, picture=pictures.flatten(1), noise=noise)
    whole, nothing = entries["picture"], entries["noise"]
    assert whole.ssim[0] > 0.99 and whole.psnr[0] > 35 and whole.blind_ssim < 0.7
    assert nothing.low - 0.03 < nothing.blind_ssim < nothing.high + 0.03
    assert entries["picture+noise"].ssim[0] > 0.95  # who has both is not led astray by the noise
    assert whole.low <= whole.ssim[0] <= whole.high and whole.blind_psnr == nothing.blind_psnr


def test_the_linear_decoder_reaches_the_best_that_any_linear_one_can():
    """Pictures of 10 directions of known variances, seen through the 4 largest: what is lost is the other six."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(64, 10, generator=generator)).Q
    spread = torch.linspace(0.12, 0.03, 10)
    parts = torch.randn(6000, 10, generator=generator) * spread
    pictures = (0.5 + parts @ directions.T).reshape(-1, 1, 8, 8)
    mixed = parts[:, :4] @ torch.randn(4, 4, generator=generator)  # any 4 numbers that say the same
    standardised = Standardised(mixed[:3000])
    seen = Seen(standardised(mixed), standardised(mixed))
    examples = [Examples(seen[part], pictures[part]) for part in (slice(3000), slice(3000, 4500), slice(4500, None))]
    decoder = LinearDecoder(*examples[:2])
    lost = (decoder(examples[2].seen) - examples[2].pictures).square().sum((1, 2, 3)).mean()
    assert float(lost) == pytest.approx(float(parts[4500:, 4:].square().sum(1).mean()), rel=0.01)
    assert decoder.strength < 1e-3


def test_features_of_noise_are_met_with_a_strong_ridge():
    noise = torch.randn(120, 100, generator=torch.Generator().manual_seed(1))
    seen, pictures = Seen(noise, noise), blobs(120)
    decoder = LinearDecoder(Examples(seen[:60], pictures[:60]), Examples(seen[60:], pictures[60:]))
    assert decoder.strength >= 1  # 60 samples, 100 numbers: without it the training pictures would be learnt by heart


def test_averaged_releases_bring_back_more_than_one():
    pictures = blobs(360)
    noise = torch.randn(2, 360, 64, generator=torch.Generator().manual_seed(1))
    once = attacked(pictures, a=pictures.flatten(1) + 0.5 * noise[0])["a"]
    often = attacked(pictures, 25, a=pictures.flatten(1) + 0.1 * noise[1])["a"]
    assert (once.releases, often.releases) == (1, 25)
    assert often.low > once.high


@pytest.mark.parametrize(
    ("size", "features"),
    [
        ((1, 8, 8), (5,)),
        ((3, 14, 28), (4, 3, 7)),
        ((3, 13, 9), (6, 5)),
        ((1, 20, 33), (2, 20, 33)),
        ((1, 8, 8), (9, 1, 1)),
    ],
)
def test_pictures_and_features_of_any_shape(size, features):
    generator = torch.Generator().manual_seed(0)
    pictures, values = blobs(24, size), torch.randn(24, *features, generator=generator)
    rebuilt = rebuild(*splits(pictures, a=values), effort=Effort(2, 4), seeds=2)
    (entry,) = rebuilt.entries
    assert set(entry.decoders) == {"linear", "nearest", *networks_for(features)} and set(entry.chosen) <= set(
        entry.decoders
    )
    assert all(len(scores) == 2 and not any(map(math.isnan, scores)) for scores in entry.decoders.values())
    assert [heading for heading, _ in rebuilt.rows] == ["original", "a", "no features"]
    assert all(shown.shape == (8, *size) for _, shown in rebuilt.rows)


def test_each_network_learns_more_than_the_linear_decoder_that_it_starts_from():
    """A spot's place is no linear function of the picture, nor the picture of the place."""
    pictures = blobs(400, seed=3)
    generator = torch.Generator().manual_seed(0)
    maps = torch.relu(
        torch.nn.functional.avg_pool2d(pictures, 2) - 0.3 + 0.02 * torch.randn(400, 1, 4, 4, generator=generator)
    )
    for kind in NETWORKS:
        standard = Standardised(maps)(maps)
        seen = Seen(standard, standard.flatten(1))
        train, validation = (Examples(seen[part], pictures[part]) for part in (slice(300), slice(300, None)))
        linear = LinearDecoder(train, validation)
        start = float(similarity(linear(validation.seen), validation.pictures).mean())
        trained = TrainedDecoder(kind, train, validation, linear, Effort(40, 32), seed=0)
        assert float(similarity(trained(validation.seen), validation.pictures).mean()) > start + 0.01, kind


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    pictures = blobs(60)
    given = splits(
        pictures, a=torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) + pictures.mean((1, 2, 3))[:, None]
    )
    state = torch.random.get_rng_state()
    with torch.inference_mode():  # wherever it is called
        first = rebuild(*given, effort=Effort(10, 16), seeds=2).entries[0]
    again, other = (rebuild(*given, effort=Effort(10, 16), seeds=2, seed=seed).entries[0] for seed in (0, 5))
    assert first == again and first.decoders["dense"] != other.decoders["dense"]
    assert first.decoders["dense"][0] != first.decoders["dense"][1]
    assert torch.equal(state, torch.random.get_rng_state())


def test_receivers_of_the_same_features_are_attacked_once_and_groups_are_named():
    pictures, lines = blobs(30), []
    same = torch.rand(30, 3)
    given = splits(pictures, a=same, b=same, c=torch.rand(30, 2))
    for split in given:
        split.features["b"] = split.features["a"]
    rebuilt = rebuild(*given, groups=[("a", "b"), ("b", "c")], effort=Effort(1, 8), seeds=1, tell=lines.append)
    assert [entry.seen for entry in rebuilt.entries] == ["a", "b", "c", "a+b", "b+c"] and len(lines) == 3
    assert rebuilt.entries[0].ssim == rebuilt.entries[1].ssim == rebuilt.entries[3].ssim
    with pytest.raises(UmbelError, match="receiver in a group"):
        rebuild(*given, groups=[("a", "x")])
    with pytest.raises(UmbelError, match="name two or more"):
        rebuild(*given, groups=[("a",)])


def test_maps_that_are_put_together_keep_their_positions():
    seen = observed(blobs(4), a=torch.rand(4, 2, 3, 3), b=torch.rand(4, 5, 3, 3), c=torch.rand(4, 7))
    assert seen.together(["a", "b"]).shape == (4, 7, 3, 3) and seen.together(["a", "c"]).shape == (4, 25)


def test_large_features_and_pictures_are_made_smaller():
    flattened = Flattened(features := torch.randn(40, 3, 2000) * torch.tensor([1.0, 0.1, 0.1])[:, None])
    assert flattened(features).shape == (40, 40)  # no more components than samples
    torch.testing.assert_close(flattened(features).norm(), features.norm(), rtol=1e-3, atol=0)  # nothing is lost
    rebuilt = rebuild(*splits(blobs(6, (1, 100, 140)), a=torch.rand(6, 3)), effort=Effort(1, 2), seeds=1)
    assert rebuilt.rows[0][1].shape == (2, 1, 50, 70)
    assert rebuilt.notes == ("Pictures of 100x140 pixels were rebuilt, and compared, at 50x70.",)


def test_the_rows_become_one_picture(tmp_path):
    rebuilt = Rebuilt((), (("original", blobs(2)), ("a", blobs(2, seed=1))), ())
    assert rebuilt.draw(tmp_path / "rebuilt.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "inputs",
    [
        torch.rand(6, 5),
        torch.rand(6, 2, 8, 8),
        torch.rand(6, 1, 8, 8) * 3 - 1,
        torch.rand(6, 1, 2, 8),
        torch.zeros(6, 1, 8, 8).long(),
    ],
)
def test_what_is_no_picture_is_refused(inputs):
    assert not are_pictures(inputs)
    with pytest.raises(UmbelError, match="inputs of the train split are no pictures to rebuild: "):
        rebuild(*splits(inputs, a=torch.rand(6, 3)))


def test_bytes_are_pictures_and_wrong_arguments_are_told():
    pictures = (blobs(12) * 255).round().to(torch.uint8)
    given = splits(pictures, a=torch.rand(12, 3))
    assert are_pictures(pictures) and not are_pictures({"a": pictures})
    assert 0 < rebuild(*given, effort=Effort(1, 4), seeds=1).entries[0].blind_ssim < 1
    for wrong, message in (
        ({"seeds": 0}, "seeds of the attackers is 0"),
        ({"train": replace(given[0], features={"b": torch.rand(4, 3)})}, "validation split was observed with other"),
        ({"test": replace(given[2], releases=3)}, "test split was observed with other"),
        ({"test": replace(given[2], inputs=torch.rand(4, 1, 9, 9))}, "another size"),
        ({"train": replace(given[0], features={"a": torch.full((4, 3), torch.nan)})}, "not finite"),
        ({"train": replace(given[0], inputs=pictures[:1], features={"a": torch.rand(1, 3)})}, "at least 2 training"),
    ):
        named = dict(zip(("train", "validation", "test"), given, strict=True)) | wrong
        with pytest.raises(UmbelError, match=message):
            rebuild(**named)
    with pytest.raises(UmbelError, match="steps is 0"):
        Effort(0)
    assert EFFORTS["quick"].steps < EFFORTS["full"].steps


def test_the_interval_is_that_of_the_mean():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, 2000, generator=generator)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1) and low < values.mean() < high
    apart = torch.stack([torch.zeros(50), torch.ones(50)])  # seeds that differ more than samples
    assert bootstrap_interval(apart) == pytest.approx((0.5 - math.sqrt(0.5), 0.5 + math.sqrt(0.5)))
