-- Takes note that a queue is used. Answers its record, nil where there is none.
touch()
return redis.call('HGET', QUEUES, name)
