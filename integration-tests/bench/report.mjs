// One table and one picture out of what was measured.

/** The report as Markdown. */
export function markdown(report) {
  const { few, large, repeats, seconds } = report;
  const lines = [
    '# What this machine does',
    '',
    `- Machine: ${report.machine}`,
    `- Commit: ${report.commit}, ${report.date}`,
    `- Command: \`${report.command}\`: ${repeats} × ${seconds} s a row, medians; server on one core, the generator on the other`,
    ...(large ? ['- Growth: two services, one with few rows and one with many, are asked in turn within each repeat. "Of few rows" is the '
      + 'median of the ratios of their rates within a repeat; the lowest and the highest are beside it.'] : []),
    '',
    ...table(`Few rows: ${of(few)}`, few.rows),
    ...(large ? table(`Many rows: ${of(large)}`, large.rows, true) : []),
    '## Beside it',
    '',
    '| what | measured | goal |',
    '|---|---|---|',
  ];
  const row = (what, value, goal, met) => lines.push(`| ${what} | ${value} | ${goal}${met === undefined ? '' : met ? ', met' : ', **not met**'} |`);
  const start = `start to the first 200, median of ${report.starts}`;
  if (large) row(`${start}, many rows`, `${large.startMs.toFixed(0)} ms`, 'under 150 ms', large.startMs < 150);
  row(`${start}, few rows`, `${few.startMs.toFixed(0)} ms`, '');
  row('resident memory, idle', `${few.idleMb.toFixed(1)} MB`, 'under 25 MB', few.idleMb < 25);
  if (large) row('resident memory after the load, many rows', `${large.loadedMb.toFixed(0)} MB`, 'under 150 MB', large.loadedMb < 150);
  row('binary', `${report.binaryMb.toFixed(1)} MB`, 'under 25 MB', report.binaryMb < 25);
  const { insert_1: one, insert_64: some, insert_256: many, read } = report.bare;
  row('bare SQLite, same statements, one thread', `device codes: ${one}/s one by one, ${some}/s by 64, ${many}/s by 256; point reads ${read}/s`, 'yardstick of storage');
  return `${lines.join('\n')}\n`;
}

function of({ count }) {
  return `${count.toLocaleString('en')} users, sessions, refresh tokens, device codes, login events and events`;
}

function table(title, rows, withGrowth = false) {
  const lines = [
    `## ${title}`,
    '',
    `| path | requests/s | spread | of /health/live | goal | p50 ms | p99 ms | p99.9 ms | CPU µs | RSS MB |${withGrowth ? ' of few rows |' : ''}`,
    `|---|---|---|---|---|---|---|---|---|---|${withGrowth ? '---|' : ''}`,
  ];
  for (const row of rows) {
    const goals = [
      row.goal && [`${row.goal} %`, row.ratio >= row.goal],
      row.goalRate && [`${row.goalRate.toLocaleString('en')}/s`, row.rate >= row.goalRate],
      row.goalP99 && [`p99 < ${row.goalP99} ms`, row.p99 < row.goalP99],
    ].filter(Boolean).map(([goal, met]) => `${goal} ${met ? 'met' : '**not met**'}`);
    const cells = [row.title, Math.round(row.rate).toLocaleString('en'), `${row.spread.toFixed(0)} %`, `${row.ratio.toFixed(0)} %`, goals.join(', '),
      row.p50.toFixed(2), row.p99.toFixed(1), row.p999.toFixed(1), row.cpu.toFixed(1), row.mb.toFixed(0)];
    if (withGrowth) cells.push(growth(row.growth));
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return [...lines, ''];
}

function growth({ middle, lowest, highest }) {
  return `${middle.toFixed(0)} % (${lowest.toFixed(0)} to ${highest.toFixed(0)}) ${middle >= 85 ? 'met' : '**not met**'}`;
}

/** Latency over time as SVG: one dot a request, milliseconds on a logarithmic axis. */
export function latencyPlot(points) {
  const [width, height, left, bottom] = [900, 320, 60, 40];
  const seconds = Math.max(1, ...points.map(([at]) => at));
  const x = (at) => left + (at / seconds) * (width - left - 10);
  const y = (ms) => height - bottom - (Math.log10(Math.max(0.1, ms)) + 1) / 4 * (height - bottom - 10);
  const ticks = [0.1, 1, 10, 100, 1000].map((ms) => `<line x1="${left}" x2="${width - 10}" y1="${y(ms).toFixed(1)}" y2="${y(ms).toFixed(1)}" stroke="#ddd"/><text x="${left - 6}" y="${(y(ms) + 4).toFixed(1)}" text-anchor="end">${ms} ms</text>`);
  const times = Array.from({ length: Math.floor(seconds / 5) + 1 }, (_, index) => `<text x="${x(index * 5).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${index * 5} s</text>`);
  const dots = points.map(([at, ms]) => `<circle cx="${x(at).toFixed(1)}" cy="${y(ms).toFixed(1)}" r="1"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>`
    + `<text x="${left}" y="${height - 6}">One client that asks for device codes while 64 others do so as fast as they can. The log is emptied every ten seconds.</text>`
    + `${ticks.join('')}${times.join('')}<g fill="#2563eb" fill-opacity="0.45">${dots.join('')}</g></svg>\n`;
}
