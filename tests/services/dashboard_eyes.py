"""What a test cannot see by itself, asked of the browser: is text readable, and can one see where the focus is?"""

# WCAG AA: 4.5 for text, 3 for large text. What is drawn on more than one ground is looked at in pictures only.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c }
    return [255, 255, 255, 255]
  }
  const faults = []
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
    if (!own || e.closest('svg, option, .hidden, :disabled, .skip') || !e.getClientRects().length) continue
    const style = getComputedStyle(e), a = light(rgba(style.color)), b = light(ground(e))
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700)
    if (ratio < (large ? 3 : 4.5)) faults.push(`${e.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`)
  }
  return faults
}"""

# Name of what has the focus; "unseen: ..." when nothing is drawn around it.
FOCUSED = """() => {
  const e = document.activeElement
  const around = e.closest('label, g') ?? e
  const drawn = [e, around].some(one =>
    getComputedStyle(one).outlineStyle !== 'none' && one.matches(':focus-visible, :has(:focus-visible)'))
  const box = around.querySelector('rect')
  const ring = box && getComputedStyle(box).strokeWidth === '3px'
  const meant = e === document.body || e.tagName === 'H1'
  if (!meant && !drawn && !ring) return 'unseen: ' + e.outerHTML.slice(0, 120)
  return (e.getAttribute('aria-label') ?? e.textContent ?? '').trim()
}"""
