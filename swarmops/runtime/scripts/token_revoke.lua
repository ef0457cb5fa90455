-- token_revoke: a token counts no more. args: id
-- key tokens  HASH    id -> JSON (see token_create.lua)
-- key events  STREAM  about 10000
-- include registry
-- -> 1
if redis.call('HDEL', k_tokens, ARGV[1]) == 0 then
  return redis.error_reply('NOTFOUND there is no token ' .. ARGV[1])
end
note('token.revoked', ARGV[1])
return 1
