-- token_create: keep a new token. args: id, JSON of the rest, most
-- key tokens  HASH    id -> JSON: sha256 of the secret, scopes, expires (s), note, created (ms)
-- key events  STREAM  about 10000
-- include registry
-- -> now
local id, rest, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', k_tokens, id) == 1 then
  return redis.error_reply('EXISTS there is a token ' .. id .. ' already: revoke it first')
end
if redis.call('HLEN', k_tokens) >= most then
  return redis.error_reply('FULL there are ' .. most .. ' tokens, which is the most')
end
local now = clock()
redis.call('HSET', k_tokens, id, rest:sub(1, -2) .. ',"created":' .. text(now) .. '}')
note('token.created', id)
return now
