-- The open orders of query 3: those of one market segment, before a day.
select o_orderkey, o_orderdate, o_shippriority
from customer
join orders on c_custkey = o_custkey
where c_mktsegment = $segment
  and o_orderdate < $date
