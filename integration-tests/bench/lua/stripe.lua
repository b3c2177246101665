-- Deliveries as Stripe signs them, each of another event: stripe.lua TEMPLATE LINES FROM
-- A line is the number of the event, the moment and the signature.
dofile(os.getenv('BENCH_LUA') .. '/common.lua')

function init(args)
  local template = io.open(args[1]):read('*a')
  local next_line = in_turn(lines_of(args[2]), tonumber(args[3]))
  request = function()
    local number, moment, signature = next_line():match('(%S+) (%S+) (%S+)')
    local headers = {
      ['Content-Type'] = 'application/json',
      ['Stripe-Signature'] = 't=' .. moment .. ',v1=' .. signature,
    }
    return wrk.format('POST', nil, headers, (template:gsub('@', number)))
  end
end
