select o.*, i.sku
from {{ source('warehouse', 'orders') }} o
join {{ source('warehouse', 'orders__items') }} i on i.order_id = o.order_id
