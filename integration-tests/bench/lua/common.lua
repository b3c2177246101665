-- What the scripts share: the lines of a file in turn, and one line of JSON at the end.

function lines_of(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = line end
  return list
end

-- Goes on where the run before stopped, so that what works once is used once.
function in_turn(list, from)
  local at = from % #list
  return function()
    at = at % #list + 1
    return list[at]
  end
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d,"p999":%d,"max":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
