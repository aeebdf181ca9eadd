-- zerrow: engine = duckdb
-- The suppliers of one region, each with its nation's name.
select s_suppkey, s_nationkey, n_name
from supplier
join nation on s_nationkey = n_nationkey
join region on n_regionkey = r_regionkey
where r_name = $region
