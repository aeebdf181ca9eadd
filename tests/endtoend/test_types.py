"""Types and names from model to model through the command; the models themselves hold what they get to what it was."""

import pandas as pd
import pyarrow as pa

MODELS = """
    import json

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import zerrow

    SIZES = pl.Enum(["S", "M", "L"])
    FRAME = pd.DataFrame(
        {
            "month": pd.period_range("2024-01", periods=2, freq="M"),
            "id": pd.array([9_007_199_254_740_993, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
        },
        index=pd.Index(["x", "y"], name="key"),
    )
    NAMES = ["é😀", "a.b", "'", '"', "a b", "A", "__index_level_0__", "n" * 500]


    class Celsius(pa.ExtensionType):
        def __init__(self):
            super().__init__(pa.float64(), "shop.celsius")

        def __arrow_ext_serialize__(self):
            return b"{}"

        @classmethod
        def __arrow_ext_deserialize__(cls, storage, serialized):
            return cls()


    pa.register_extension_type(Celsius())


    @zerrow.model()
    def frame(seed=zerrow.Model("seed")):
        return FRAME


    @zerrow.model()
    def reads_frame(frame=zerrow.Model("frame")):
        pd.testing.assert_frame_equal(frame.to_pandas(), FRAME)
        return frame


    @zerrow.model()
    def reads_columns(frame=zerrow.Model("reads_frame", columns=["id", "key"])):
        pd.testing.assert_frame_equal(frame.to_pandas(), FRAME.reset_index()[["id", "key"]])
        return frame


    @zerrow.model()
    def reads_file(orders=zerrow.Model("orders")):
        assert orders.to_pandas().dtypes.astype(str).to_dict() == {"id": "Int64", "day": "period[D]"}
        return orders


    @zerrow.model()
    def sizes(seed=zerrow.Model("seed")):
        return pl.DataFrame({"size": ["S", "L", "M"]}, schema={"size": SIZES})


    @zerrow.model()
    def reads_sizes(sizes=zerrow.Model("sizes")):
        assert pl.from_arrow(sizes)["size"].sort().to_list() == ["S", "M", "L"]
        return sizes


    @zerrow.model()
    def degrees(seed=zerrow.Model("seed")):
        return {"t": pa.ExtensionArray.from_storage(Celsius(), pa.array([20.5]))}


    @zerrow.model()
    def reads_degrees(degrees=zerrow.Model("degrees")):
        assert degrees.schema.field("t").type == Celsius()
        return degrees


    @zerrow.model()
    def structs(seed=zerrow.Model("seed")):
        deep = [{"s": {"a": row, "b": [row]}} for row in range(1000)]
        return {"st": [None if row % 2 else {"a": row} for row in range(1000)], "deep": deep}


    @zerrow.model()
    def odd(seed=zerrow.Model("seed")):
        return pa.table({name: [number] for number, name in enumerate(NAMES)})


    @zerrow.model()
    def reads_odd(
        whole=zerrow.Model("odd"), part=zerrow.Model("odd", columns=["a.b", "'"]),
        one=zerrow.Model("odd_datafusion"), two=zerrow.Model("odd_duckdb"),
    ):
        expected = {name: [number] for number, name in enumerate(NAMES)}
        assert whole.to_pydict() == one.to_pydict() == two.to_pydict() == expected
        assert part.to_pydict() == {"a.b": [1], "'": [2]}
        return whole


    @zerrow.model()
    def reads_structs(one=zerrow.Model("structs_datafusion"), two=zerrow.Model("structs_duckdb")):
        assert one.to_pylist() == two.to_pylist() == [{"n": 500, "total": sum(range(0, 1000, 2)), "deep": 999}]
        return one


    @zerrow.model()
    def reads_deep(deep=zerrow.Model("deep")):
        assert [row["deep"]["s"]["b"] for row in deep.to_pylist()] == [[row] for row in range(1000)]
        return deep
"""
STRUCTS = "select count(st.a) as n, sum(st.a) as total, max(deep.s.a) as deep from structs"


def test_types_and_names_are_in_the_next_model_what_they_were(project) -> None:
    project.write("models.py", MODELS)
    project.write("structs_datafusion.sql", STRUCTS)
    project.write("structs_duckdb.sql", f"-- zerrow: engine = duckdb\n{STRUCTS}")
    project.write("deep.sql", "select deep from structs")
    project.write("odd_datafusion.sql", "select * from odd")
    project.write("odd_duckdb.sql", "-- zerrow: engine = duckdb\nselect * from odd")
    orders = {"id": pd.array([2**53 + 1, None], "Int64"), "day": pd.period_range("2024-01-01", periods=2)}
    project.table("orders", pa.Table.from_pandas(pd.DataFrame(orders)))
    project.table("seed", pa.table({"seed": [1]}))
    project.write("zerrow_project.yml", SOURCES)
    result = project.run()
    assert result.code == 0, result.err
    assert result.model("reads_frame")["output"]["copied_bytes"] == 0


SOURCES = """
    project: {name: types}
    sources: {orders: data/orders.parquet, seed: data/seed.parquet}
"""
