import './styles/tokens.css'
import './styles/base.css'
import './styles/parts.css'
import './styles/tables.css'
import './lib/theme'
import { createApp } from 'vue'
import App from './App.vue'

createApp(App).mount('#app')
