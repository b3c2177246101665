-- POST of a form in which %s is the next line of a file: form.lua FORM [LINES FROM]
dofile(os.getenv('BENCH_LUA') .. '/common.lua')

local headers = { ['Content-Type'] = 'application/x-www-form-urlencoded' }

function init(args)
  local form = args[1]
  local next_line = args[2] and in_turn(lines_of(args[2]), tonumber(args[3]))
  request = function()
    local body = next_line and form:gsub('%%s', next_line()) or form
    return wrk.format('POST', nil, headers, body)
  end
end
