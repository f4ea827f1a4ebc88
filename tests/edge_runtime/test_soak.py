"""Short versions of `tests/bench/soak.py`: dying sources, breaking engines, a slow sink, nothing grows."""

import pytest

from tests.bench.soak import soak


@pytest.mark.parametrize(
    "seconds", [pytest.param(8.0, id="brief"), pytest.param(60.0, id="a minute", marks=pytest.mark.slow)]
)
def test_memory_threads_and_descriptors_stay_and_no_record_is_missed(tmp_path, model_path, seconds):
    report = soak(str(model_path), tmp_path, seconds=seconds)
    assert report.problems() == []
    assert report.recorded > 20 * seconds
    assert report.reconnects > 0
    assert report.slow_dropped > 0
