-- What each order brings in: an aggregate of 6 million lines to 1.5 million orders.
select l_orderkey, sum(revenue) as revenue, count(*) as lines
from order_lines
group by l_orderkey
