import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// Everything is a file of its own: the page's policy allows no script, style or font inside the HTML.
export default defineConfig({
  plugins: [vue()],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // While one edits: `swarmops dashboard` beside it says where the coordinator is.
  server: { host: '127.0.0.1', port: 5174, strictPort: true, proxy: { '/config.json': 'http://127.0.0.1:5173' } },
})
