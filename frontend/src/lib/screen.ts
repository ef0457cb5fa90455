import { ref } from 'vue'

const query = matchMedia('(max-width: 700px)')
export const narrow = ref(query.matches)
query.addEventListener('change', (e) => (narrow.value = e.matches))
