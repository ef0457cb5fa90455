-- task_get: all that is known of some tasks.
-- args: n, ids;  answers: for each what lib looking says, '' for what there is not
-- key task      HASH  id -> record
-- key out       HASH  id -> outcome
-- key held      HASH  id -> worker attempt since_ms submitted_ms type
-- key attempts  HASH  id -> claims so far
-- key fails     HASH  id -> failures so far, and the last error
-- key deaths    HASH  id -> workers that died while they held it
-- key progress  HASH  id -> what its worker said last
-- key deps      HASH  id -> parents not yet done
-- key timers    ZSET  d:<id> delayed until -> ms
-- include looking
local answer = {}
for i = 2, #ARGV do answer[i - 1] = facts(ARGV[i]) end
return answer
