-- zerrow: engine = duckdb
-- zerrow: memory = 2G
-- Who placed the biggest orders, and of which band they are: two branches of order_revenue meet here.
select c_name, c_mktsegment, count(*) as orders, sum(top_orders.revenue) as revenue, min(band) as band
from top_orders
join revenue_bands on top_orders.l_orderkey = revenue_bands.l_orderkey
join orders on top_orders.l_orderkey = o_orderkey
join customer on o_custkey = c_custkey
group by c_name, c_mktsegment
order by revenue desc, c_name
limit 100
