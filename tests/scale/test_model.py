"""The model does what queues do: it holds the load its stations allow, and says which of them was too small."""

from dataclasses import replace

import pytest

from tests.scale.model import (
    SATURATED,
    ServiceTimes,
    Topology,
    capacity,
    ladder,
    lifted,
    simulate,
)

TIMES = ServiceTimes(web=0.008, redis=0.00005, database=0.001, append_fixed=0.0005, append_journal=0.0005, flush=0.002)
ALONE = Topology(web_nodes=1, processes_a_node=1, database_cores=4, chain_share=0.0)


def test_a_light_load_waits_for_nothing() -> None:
    outcome = simulate(TIMES, ALONE, per_second=5, seconds=20)

    assert outcome.completed == pytest.approx(5, rel=0.25)
    assert outcome.p50 == pytest.approx(0.01205, rel=0.05)
    assert outcome.keeps_up


def test_the_busiest_station_is_the_bottleneck_and_bounds_the_rate() -> None:
    outcome = simulate(TIMES, ALONE, per_second=400, seconds=6)

    assert outcome.bottleneck == "web"
    assert not outcome.keeps_up
    assert outcome.completed <= 1.05 / TIMES.web


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (simulate(TIMES, ALONE, per_second=60, seconds=4) for _ in range(2))

    assert first == second


def test_four_nodes_carry_four_times_as_much_while_the_database_has_room() -> None:
    four = replace(ALONE, web_nodes=4)

    assert capacity(TIMES, four) / capacity(TIMES, ALONE) == pytest.approx(4, rel=0.1)


def test_more_nodes_do_not_help_a_database_that_is_full() -> None:
    small = replace(ALONE, web_nodes=32, database_cores=1)
    outcome = simulate(TIMES, small, per_second=3_000, seconds=3)

    assert outcome.bottleneck == "database"


def test_appends_that_wait_share_a_batch() -> None:
    costly = replace(TIMES, web=0.0001, append_fixed=0.02, append_journal=0.0)
    outcome = simulate(costly, replace(ALONE, database_cores=1), per_second=400, seconds=5)

    assert outcome.completed > 2 / costly.append_fixed


def test_a_relayers_key_carries_so_many_transfers_a_block() -> None:
    paid_on_chain = Topology(web_nodes=8, processes_a_node=2, database_cores=16, chain_share=1.0)
    outcome = simulate(TIMES, paid_on_chain, per_second=300, seconds=12)

    assert outcome.bottleneck == "relayer"
    assert outcome.completed <= 1.3 * paid_on_chain.transfers_a_block / paid_on_chain.block_seconds


@pytest.mark.parametrize(
    ("station", "changed"), [("web", "web_nodes"), ("redis", "redis_nodes"), ("relayer", "relayer_keys")]
)
def test_each_bottleneck_has_what_lifts_it(station: str, changed: str) -> None:
    lift = lifted(ALONE, station)

    assert getattr(lift.topology, changed) > getattr(ALONE, changed)
    assert lift.engine


def test_a_database_grows_to_the_largest_writer_and_is_then_shared_out() -> None:
    topology, engines = ALONE, []
    for _ in range(6):
        lift = lifted(topology, "database")
        topology = lift.topology
        engines.append(lift.engine.partition(":")[0])

    assert engines == ["Aurora", "Aurora", "Aurora", "Aurora", "Citus", "Citus"]


def test_the_ladder_ends_at_the_target_and_every_rung_names_what_was_too_small() -> None:
    steps = ladder(TIMES, ALONE, target=500, seconds=3)

    assert steps[-1].lift == ""
    assert steps[-1].outcome.completed >= 0.95 * 500
    assert max(steps[-1].outcome.utilisation.values()) <= SATURATED
    assert all(step.lift for step in steps[:-1])
    assert steps[0].topology == ALONE
