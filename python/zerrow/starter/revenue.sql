select customer, count(*) as orders, sum(total) as revenue
from priced_orders
group by customer
order by revenue desc
