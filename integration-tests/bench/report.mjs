// One table and one picture out of what was measured.

/** The report as Markdown. */
export function markdown(report) {
  const lines = [
    '# What this machine does',
    '',
    `- Machine: ${report.machine}`,
    `- Commit: ${report.commit}, ${report.date}`,
    `- Command: \`${report.command}\`: ${report.repeats} × ${report.seconds} s a row, medians; server on one core, the generator on the other`,
    '',
    ...table(report.empty, 'Few rows', undefined),
    ...(report.large ? table(report.large, `With ${report.count.toLocaleString('en')} users, sessions, refresh tokens, device codes, login events and events`, report.empty) : []),
    '## Beside it',
    '',
    '| what | measured | goal |',
    '|---|---|---|',
  ];
  const row = (what, value, goal, met) => lines.push(`| ${what} | ${value} | ${goal}${met === undefined ? '' : met ? ', met' : ', **not met**'} |`);
  if (report.startMs) row('start to the first 200, large', `${report.startMs.toFixed(0)} ms`, 'under 150 ms', report.startMs < 150);
  row('start to the first 200, few rows', `${report.emptyStartMs.toFixed(0)} ms`, '');
  row('resident memory, idle', `${report.idleMb.toFixed(1)} MB`, 'under 25 MB', report.idleMb < 25);
  if (report.loadedMb) row('resident memory after the load, large', `${report.loadedMb.toFixed(0)} MB`, 'under 150 MB', report.loadedMb < 150);
  row('binary', `${report.binaryMb.toFixed(1)} MB`, 'under 25 MB', report.binaryMb < 25);
  const { insert_1: one, insert_64: some, insert_256: many, read } = report.bare;
  row('bare SQLite, same statements, one thread', `device codes: ${one}/s one by one, ${some}/s by 64, ${many}/s by 256; point reads ${read}/s`, 'yardstick of storage');
  return `${lines.join('\n')}\n`;
}

function table(rows, title, before) {
  const lines = [
    `## ${title}`,
    '',
    `| path | requests/s | spread | of /health/live | goal | p50 ms | p99 ms | p99.9 ms | CPU µs | RSS MB |${before ? ' of few rows |' : ''}`,
    `|---|---|---|---|---|---|---|---|---|---|${before ? '---|' : ''}`,
  ];
  for (const row of rows) {
    const goals = [
      row.goal && [`${row.goal} %`, row.ratio >= row.goal],
      row.goalRate && [`${row.goalRate.toLocaleString('en')}/s`, row.rate >= row.goalRate],
      row.goalP99 && [`p99 < ${row.goalP99} ms`, row.p99 < row.goalP99],
    ].filter(Boolean).map(([goal, met]) => `${goal} ${met ? 'met' : '**not met**'}`);
    const earlier = before?.find(({ name }) => name === row.name);
    const growth = earlier && (row.rate / earlier.rate) * 100;
    lines.push(`| ${row.title} | ${Math.round(row.rate).toLocaleString('en')} | ${row.spread.toFixed(0)} % | ${row.ratio.toFixed(0)} % | ${goals.join(', ')} | `
      + `${row.p50.toFixed(2)} | ${row.p99.toFixed(1)} | ${row.p999.toFixed(1)} | ${row.cpu.toFixed(1)} | ${row.mb.toFixed(0)} |`
      + (before ? ` ${growth === undefined ? '' : `${growth.toFixed(0)} % ${growth >= 85 ? 'met' : '**not met**'}`} |` : ''));
  }
  return [...lines, ''];
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
