-- Removes a queue and what is counted of it. Answers whether it was there.
if redis.call('HEXISTS', QUEUES, name) == 0 then return 0 end
forget()
return 1
