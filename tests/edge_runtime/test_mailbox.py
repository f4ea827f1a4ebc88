"""The hand-over between threads: newest wins, or nothing is lost; closing never leaves anyone waiting."""

import threading

from edge_runtime.mailbox import Mailbox

PATIENCE_S = 5.0


def test_the_newest_item_wins_and_what_it_replaces_is_counted():
    box: Mailbox[int] = Mailbox()
    for item in range(5):
        assert box.put(item)
    assert box.get() == 4
    assert box.dropped == 4


def test_a_longer_mailbox_throws_the_oldest_away_and_keeps_the_order():
    box: Mailbox[int] = Mailbox(3)
    for item in range(5):
        box.put(item)
    box.close()
    assert list(box) == [2, 3, 4]
    assert box.dropped == 2


def test_a_lossless_mailbox_makes_the_producer_wait_and_loses_nothing():
    box: Mailbox[int] = Mailbox(2, lossless=True)
    produced = []

    def produce() -> None:
        for item in range(50):
            box.put(item)
            produced.append(item)
        box.close()

    producer = threading.Thread(target=produce)
    producer.start()
    taken = []
    for item in box:
        taken.append(item)
        assert len(produced) - len(taken) <= 2
    producer.join(PATIENCE_S)
    assert taken == list(range(50))
    assert box.dropped == 0


def test_closing_lets_the_taker_finish_what_is_inside():
    box: Mailbox[str] = Mailbox(2)
    box.put("a")
    box.put("b")
    box.close()
    assert (box.get(), box.get(), box.get()) == ("a", "b", None)


def test_closing_with_discard_counts_what_is_inside_as_dropped():
    box: Mailbox[str] = Mailbox(2)
    box.put("a")
    box.put("b")
    box.close(discard=True)
    assert box.get() is None
    assert box.dropped == 2


def test_a_closed_mailbox_takes_nothing():
    box: Mailbox[str] = Mailbox()
    box.close()
    assert not box.put("late")
    assert not box.wait_for_room()
    assert box.get() is None


def test_closing_wakes_a_waiting_producer_and_a_waiting_taker():
    full: Mailbox[int] = Mailbox(1, lossless=True)
    full.put(0)
    empty: Mailbox[int] = Mailbox()
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(full.put(1))),
        threading.Thread(target=lambda: answers.append(empty.get())),
    ]
    for thread in threads:
        thread.start()
    full.close()
    empty.close()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert sorted(map(repr, answers)) == ["False", "None"]
