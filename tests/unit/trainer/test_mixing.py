"""Sources in proportion to their weights, the same on every process."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.data.mixing import Mixture


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.01, 100), min_size=5, max_size=5),
    seed=st.integers(0, 9),
)
def test_an_epoch_has_as_many_examples_as_there_are_in_proportion_to_the_weights(
    sizes: list[int], weights: list[float], seed: int
) -> None:
    sources = [source for source, size in enumerate(sizes) for _ in range(size)]
    given_weights = weights[: len(sizes)]
    mixture = Mixture(sources, given_weights)
    drawn = mixture.draw(seed, epoch=0)
    assert drawn == Mixture(sources, given_weights).draw(seed, epoch=0)
    assert len(drawn) == len(sources)
    counts = Counter(sources[index] for index in drawn)
    for source, weight in enumerate(given_weights):
        exact = len(sources) * weight / sum(given_weights)
        assert abs(counts[source] - exact) <= 1
    often = Counter(drawn)
    for source in range(len(sizes)):
        times = [often[index] for index, of in enumerate(sources) if of == source]
        assert max(times) - min(times) <= 1


def test_what_is_drawn_of_a_large_source_changes_with_the_epoch() -> None:
    mixture = Mixture([0] * 100 + [1] * 10, [1, 1])
    first, second = (
        {index for index in mixture.draw(42, epoch) if index < 100} for epoch in range(2)
    )
    assert len(first) == len(second) == 55
    assert first != second
