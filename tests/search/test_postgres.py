"""What only PostgreSQL promises: bits as it writes them, its index, its errors, many writers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from crosshash.codes import Packed, hamming
from crosshash.search.filters import as_filter

# The timeout is also that of waiting for another file's server.
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

ADD = """
import sys
import numpy as np
from crosshash.search.postgres import PostgresEngine
engine = PostgresEngine.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
added = 0
for number in range(40):
    try:
        engine.insert(np.full((1, 2), number, dtype=np.uint8), [str(number)], None)
        added += 1
    except ValueError as error:
        assert "is in the index already" in str(error), error
print(added)
"""


def sql(place: Any, query: str, uri: str | None = None) -> list[Any]:
    import psycopg

    plain = (uri or place.uri).replace("&table=", "&application_name=")
    with psycopg.connect(plain, autocommit=True) as connection:
        cursor = connection.execute(query.replace("NAME", place.uri.rpartition("=")[2]))
        return cursor.fetchall() if cursor.description else []


def random(count: int, bits: int = 64, seed: int = 0) -> Packed:
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), dtype=np.uint8)


def test_the_first_output_is_the_first_bit_that_is_read(postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    engine.insert(np.array([[0b0000_0001, 0b1100_0000]], dtype=np.uint8), ["a"], None)
    assert sql(postgres_place, 'SELECT code::text FROM "NAME_codes"') == [("1000000000000011",)]
    engine.insert(np.array([[0b0000_0011, 0]], dtype=np.uint8), ["b"], None)
    found = engine.nearest(np.array([[1, 0]], dtype=np.uint8), 2)
    assert (found.ids, found.distance.tolist()) == (["b", "a"], [1, 2])


def test_codes_are_kept_once_and_go_with_their_last_item(postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    engine.insert(np.zeros((3, 2), dtype=np.uint8), ["a", "b", "c"], None)
    assert sql(postgres_place, 'SELECT first FROM "NAME_codes"') == [(0,)]
    engine.delete(["a"])
    assert sql(postgres_place, 'SELECT first FROM "NAME_codes"') == [(1,)]
    engine.insert(np.ones((1, 2), dtype=np.uint8), ["b"], None, replace=True)
    assert sql(postgres_place, 'SELECT first FROM "NAME_codes" ORDER BY 1') == [(2,), (3,)]
    engine.delete(["c", "b"])
    assert sql(postgres_place, 'SELECT first FROM "NAME_codes"') == []


def test_hnsw_finds_all_items_of_the_codes_that_it_finds(postgres_place: Any) -> None:
    engine = postgres_place.open(64, create=True)
    codes = np.repeat(random(1500), 2, axis=0)
    engine.insert(codes, [str(row) for row in range(3000)], [{"n": row % 2} for row in range(3000)])
    engine.compact(kind="hnsw", m=8, ef_construction=32)
    assert not engine.exact
    again = postgres_place.open()
    assert not again.exact
    plan = sql(
        postgres_place,
        f"EXPLAIN SELECT code FROM \"NAME_codes\" ORDER BY code <~> B'{'0' * 64}' LIMIT 10",
    )
    assert any("_hnsw" in line for (line,) in plan)
    queries = random(8, seed=5)
    distances = hamming(queries, codes)
    found = again.nearest(queries, 10)
    best = np.sort(distances, axis=1)[:, :10]
    assert (found.distance.reshape(8, 10) == best).mean() > 0.5
    assert (found.distance == distances[found.query, [int(id_) for id_ in found.ids]]).all()
    for pair in np.array([int(id_) for id_ in found.ids]).reshape(-1, 2):
        assert pair[0] % 2 == 0
        assert pair[1] == pair[0] + 1
    # Exact nevertheless: within, with a filter, and more than the index gives.
    assert len(again.within(queries, 24).ids) == (distances <= 24).sum()
    met = again.nearest(queries, 10, as_filter({"n": 1}))
    assert (met.distance.reshape(8, 10) == np.sort(distances[:, 1::2], axis=1)[:, :10]).all()
    many = again.nearest(queries[:1], 1200)
    assert (many.distance == np.sort(distances[0])[:1200]).all()
    engine.delete([str(row) for row in range(2990)])
    assert len(again.nearest(queries[:1], 10).ids) == 10
    engine.compact(kind="flat")
    assert engine.exact
    assert postgres_place.open().exact


def test_what_compact_does_not_take(postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    with pytest.raises(ValueError, match='kind is "flat" or "hnsw", got \'ivf\''):
        engine.compact(kind="ivf")
    with pytest.raises(ValueError, match=r"ef_construction one from 2 \* m"):
        engine.compact(kind="hnsw", m=16, ef_construction=16)
    with pytest.raises(ValueError, match="m is a number from 2 to 100"):
        engine.compact(kind="hnsw", m="8); DROP TABLE x; --")
    with pytest.raises(TypeError, match=r"takes no options, got \['m'\]"):
        engine.compact(kind="flat", m=3)


def test_many_items_come_a_block_at_a_time_while_others_change(postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    ids = [str(row) for row in range(9000)]
    engine.insert(random(9000, 16), ids, None)
    blocks = engine.scan()
    first = next(blocks)
    engine.delete(ids[8000:])
    rest = [len(block) for block in blocks]
    assert [len(first), *rest] == [4096, 4096, 808]
    assert len(engine) == 8000


def test_two_processes_that_add_the_same_ids_add_each_once(postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    command = [sys.executable, "-c", ADD, postgres_place.uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(int(out) for out, _ in told) == len(engine) == 40
    assert sorted(id_ for block in engine.scan() for id_ in block.ids) == sorted(
        map(str, range(40))
    )


def test_two_threads_that_make_the_same_index_make_it_once(postgres_place: Any) -> None:
    made: list[Any] = []
    threads = [
        threading.Thread(target=lambda: made.append(postgres_place.open(16, create=True)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(engine) for engine in made] == [0, 0, 0]


def test_a_server_that_was_restarted_is_found_again(postgres: Any, postgres_place: Any) -> None:
    engine = postgres_place.open(16, create=True)
    engine.insert(random(1, 16), ["a"], None)
    postgres.stop()
    with pytest.raises(ConnectionError, match="no connection to the server") as caught:
        len(engine)
    assert "is it running" in str(caught.value)
    postgres.ensure_postgres_running()
    assert engine.known(["a"]) == [True]


def test_a_writer_waits_for_another_and_then_says_so(
    postgres_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosshash.search.postgres_server._LOCK_SECONDS", 1)
    engine = postgres_place.open(16, create=True)
    other = postgres_place.open(16)
    with other._server.transaction(write=True) as connection:
        other._tables.lock(connection)
        assert len(engine) == 0  # who reads does not wait
        with pytest.raises(TimeoutError, match="another has been writing for 1 seconds"):
            engine.insert(random(1, 16), ["a"], None)
    engine.insert(random(1, 16), ["a"], None)


def test_time_that_the_server_limits_is_told(postgres_place: Any) -> None:
    from crosshash.search.postgres_server import PostgresServer

    slow = PostgresServer(postgres_place.uri + "&options=-cstatement_timeout%3D2s")
    with (
        pytest.raises(TimeoutError, match="the server ended it"),
        slow.transaction() as connection,
    ):
        connection.execute("SELECT pg_sleep(60)")
    slow.close()


def test_tables_of_others_are_left_alone(postgres_place: Any) -> None:
    sql(postgres_place, 'CREATE TABLE "NAME_items" (id text)')
    for create in (False, True):
        with pytest.raises(ValueError, match="are not an index of this package"):
            postgres_place.open(16, create=create)
    assert sql(postgres_place, 'SELECT count(*) FROM "NAME_items"') == [(0,)]


def test_a_later_format_is_told(postgres_place: Any) -> None:
    postgres_place.open(16, create=True)
    sql(postgres_place, 'UPDATE "NAME_info" SET format = 2')
    with pytest.raises(ValueError, match="written by a later version"):
        postgres_place.open()


@pytest.fixture
def database(postgres: Any, postgres_place: Any) -> Iterator[Any]:
    """Makes databases; gives their URIs."""
    made: list[str] = []

    def make(options: str = "") -> str:
        made.append(f"d{len(made)}_{postgres_place.uri[-8:]}")
        sql(postgres_place, f"CREATE DATABASE {made[-1]} {options}")
        return str(postgres_place.uri.replace("/postgres?", f"/{made[-1]}?"))

    yield make
    for name in made:
        sql(postgres_place, f"DROP DATABASE {name} WITH (FORCE)")


def test_servers_that_do_not_serve_are_told(postgres_place: Any, database: Any) -> None:
    from crosshash.search.postgres import PostgresEngine

    old = database()
    PostgresEngine.open(old, 16, create=True).close()
    sql(postgres_place, "UPDATE pg_extension SET extversion='0.6.2' WHERE extname='vector'", old)
    with pytest.raises(RuntimeError, match=r"pgvector 0\.6\.2 does not compare bits, 0\.7"):
        PostgresEngine.open(old)
    latin = database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(RuntimeError, match="the database holds LATIN1"):
        PostgresEngine.open(latin, 16, create=True)
    none = database()
    sql(postgres_place, "DROP ROLE IF EXISTS guest")
    sql(postgres_place, "CREATE ROLE guest LOGIN")
    sql(postgres_place, "GRANT CREATE ON SCHEMA public TO guest", none)
    guest = none.replace("//postgres:@", "//guest@")
    with pytest.raises(RuntimeError, match="have an administrator of it run CREATE EXTENSION"):
        PostgresEngine.open(guest, 16, create=True)
    sql(postgres_place, "CREATE EXTENSION vector", none)
    PostgresEngine.open(none, 16, create=True).close()
    with pytest.raises(PermissionError, match="permission denied"):
        PostgresEngine.open(guest)


def test_passwords_are_never_shown(postgres_place: Any) -> None:
    from crosshash.search.postgres import PostgresEngine
    from crosshash.search.postgres_server import PostgresServer

    uri = postgres_place.uri.replace("//postgres:@", "//postgres:s3cr%2Ft@")
    engine = PostgresEngine.open(uri, 16, create=True)
    for text in (engine.uri, repr(engine), repr(engine._server)):
        assert "s3cr" not in text
        assert "postgres@" in text
    engine.close()
    wrong = [uri.replace("/postgres?", "/nowhere?"), "postgresql://u:s3cr/t@localhost/d"]
    wrong += ["postgresql://u:s3cr@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d?password=s3cr"]
    wrong += ["postgresql://u:s3cr%ZZ@localhost/d", "postgresql://u:s3cr#x@localhost/d"]
    for one in wrong:
        with pytest.raises((ConnectionError, ValueError)) as caught:
            PostgresEngine.open(one, 16)
        assert "s3cr" not in str(caught.value)
        assert "s3cr" not in repr(caught.value.__context__)
    assert PostgresServer("postgresql://u:p@h/d?sslpassword=q").uri.endswith(
        "u@h/d?table=crosshash"
    )
    with pytest.raises(ValueError, match="table is a name of letters"):
        PostgresServer('postgresql://h/d?table=a";DROP')


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from crosshash.search.postgres import PostgresEngine

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'crosshash\[postgres\]'"):
        PostgresEngine.open("postgresql://localhost/d")
