-- leader_check: may the holder of this token still act as leader? args: term
-- key leader  STRING  who leads
-- key term    STRING  the newest fencing token
-- include registry
-- -> ms left of the lease; refused with STALE if not
local why = fence(k_leader, k_term, ARGV[1])
if why then
  return why
end
return redis.call('PTTL', k_leader)
