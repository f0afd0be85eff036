/** A browser's own description in words: "Firefox on Android". */
export function agentWords(agent: string | undefined): string {
  if (!agent) return 'Unknown browser'
  const browser = [['Edg/', 'Edge'], ['OPR/', 'Opera'], ['SamsungBrowser', 'Samsung Internet'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']].find(([mark]) => agent.includes(mark!))?.[1]
  const system = [['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Windows', 'Windows'], ['Mac OS X', 'macOS'], ['CrOS', 'ChromeOS'], ['Linux', 'Linux']].find(([mark]) => agent.includes(mark!))?.[1]
  if (!browser && !system) return agent.slice(0, 60)
  return [browser ?? 'A browser', system && `on ${system}`].filter(Boolean).join(' ')
}
