-- GET, with one token after the other when there is a file of them: get.lua [TOKENS FROM]
dofile(os.getenv('BENCH_LUA') .. '/common.lua')

function init(args)
  if args[1] == nil then return end
  local next_token = in_turn(lines_of(args[1]), tonumber(args[2]))
  request = function()
    return wrk.format('GET', nil, { ['Authorization'] = 'Bearer ' .. next_token() })
  end
end
