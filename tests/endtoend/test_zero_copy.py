"""What crosses from model to model is references: the counters say so, two models deep as well as one."""

import pyarrow as pa
import pytest

ROWS = 1_000_000


@pytest.fixture
def big(project):
    project.table(
        "big",
        pa.table(
            {
                "a": pa.array(range(ROWS), pa.int64()),
                "b": pa.array([float(i) for i in range(ROWS)]),
                "s": pa.array([f"string {i}" for i in range(ROWS)]),
            }
        ),
    )
    project.write(
        "zerrow_project.yml",
        """
        project: {name: test}
        sources:
          big: data/big.parquet
        """,
    )
    return project


MODELS = """
    import pyarrow as pa
    import pyarrow.compute as pc
    import zerrow

    @zerrow.model()
    def base(big=zerrow.Model("big")):
        return big

    @zerrow.model()
    def selection(base=zerrow.Model("base")):
        return base.select(["s", "a"])

    @zerrow.model()
    def slice(selection=zerrow.Model("selection")):
        return selection.slice(12_345, 500_001)

    @zerrow.model()
    def appended(selection=zerrow.Model("selection")):
        return selection.append_column("twice", pc.multiply(selection["a"], 2))

    @zerrow.model()
    def encoded(big=zerrow.Model("big", columns=["a"])):
        return big.append_column("k", pc.cast(pc.bit_wise_and(big["a"], 7), pa.string()).dictionary_encode())

    @zerrow.model()
    def kept(encoded=zerrow.Model("encoded")):
        return encoded.slice(10, 900_000)

    @zerrow.model()
    def last(a=zerrow.Model("slice"), b=zerrow.Model("appended"), c=zerrow.Model("kept")):
        assert a["a"][0].as_py() == 12_345 and a["s"][0].as_py() == "string 12345"
        assert b["twice"][10].as_py() == 20
        assert c["k"][0].as_py() == "2"
        return {"rows": [a.num_rows, b.num_rows, c.num_rows]}
"""


def test_selection_slice_and_appended_column_are_reshared_two_models_deep(big):
    big.write("models.py", MODELS)
    result = big.run()
    assert result.code == 0, result.err
    for name in ("base", "selection", "slice", "kept"):
        output = result.model(name)["output"]
        # A dictionary of eight words is small whoever publishes it; everything else is the input's own memory.
        assert output["reshared_bytes"] >= 0.99 * output["bytes"], (name, output)
        assert output["copied_bytes"] == 0, (name, output)
    appended = result.model("appended")["output"]
    assert appended["reshared_bytes"] == result.model("selection")["output"]["bytes"]
    assert appended["born_shared_bytes"] >= 8 * ROWS
    for model in result.report["models"]:
        output = model["output"]
        parts = ("reshared", "born_shared", "deanonymized", "packed", "copied")
        assert output["bytes"] == sum(output[f"{part}_bytes"] for part in parts)
        assert output["copied_bytes"] == 0, model


def test_without_the_arena_results_are_copied_and_counted_and_equal(big):
    big.write("models.py", MODELS)
    result = big.run("--no-arena")
    assert result.code == 0, result.err
    assert result.model("appended")["output"]["copied_bytes"] >= 8 * ROWS
    assert result.model("selection")["output"]["copied_bytes"] == 0
