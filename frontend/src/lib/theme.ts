// Light or dark: as the system says, until someone chooses.
import { computed, ref, watchEffect } from 'vue'

export type Choice = 'system' | 'light' | 'dark'
const KEY = 'swarmops.theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const dark = ref(system.matches)
const kept = localStorage.getItem(KEY)

export const choice = ref<Choice>(kept === 'light' || kept === 'dark' ? kept : 'system')
export const theme = computed(() => (choice.value === 'system' ? (dark.value ? 'dark' : 'light') : choice.value))

system.addEventListener('change', (e) => (dark.value = e.matches))
watchEffect(() => {
  document.documentElement.dataset['theme'] = theme.value
  if (choice.value === 'system') localStorage.removeItem(KEY)
  else localStorage.setItem(KEY, choice.value)
})
