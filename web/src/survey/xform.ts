export interface Glance { title: string; id: string; version: string; problem?: string }

/** What an XForm says of itself, so that the right file is uploaded. The server reads it properly. */
export function glance(xml: string): Glance {
  const doc = new DOMParser().parseFromString(xml, 'application/xml')
  const none = { title: '', id: '', version: '' }
  if (doc.getElementsByTagName('parsererror').length) return { ...none, problem: 'This file is no well-formed XML.' }
  if (doc.documentElement?.localName !== 'html') return { ...none, problem: 'This is XML, but no XForm: it does not begin with <h:html>.' }
  const named = (name: string) => Array.from(doc.getElementsByTagNameNS('*', name))
  const root = named('instance')[0]?.firstElementChild
  if (!root) return { ...none, problem: 'This XForm has no instance, so nothing could be answered.' }
  return { title: named('title')[0]?.textContent?.trim() ?? '', id: root.getAttribute('id') ?? root.namespaceURI ?? '', version: root.getAttribute('version') ?? '' }
}
